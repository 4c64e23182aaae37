/** What computes: results of another device class or version may differ in bits (I2). */
export interface Platform {
  deviceClass: string;
  version: string;
}

/** As one name, for the core to compare. */
export const platformName = ({ deviceClass, version }: Platform): string => `${deviceClass}, ${version}`;
