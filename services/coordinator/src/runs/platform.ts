/** What computes: results of another device class or version may have other bits (I2). */
export interface Platform {
  deviceClass: string;
  version: string;
}

/** As one name, which the core compares. */
export const platformName = ({ deviceClass, version }: Platform): string => `${deviceClass}, ${version}`;
