{{/* What all names begin with. A Service's name begins with a letter and has no dots; a release's may. */}}
{{- define "gradpool.name" -}}
{{- $name := .Release.Name | replace "." "-" }}
{{- if not (regexMatch "^[a-z]" $name) }}{{ $name = printf "gradpool-%s" $name }}{{ end }}
{{- $name | trunc 40 | trimAll "-" }}
{{- end }}

{{/* For a component: dict "root" . "component" "tokenizer" */}}
{{- define "gradpool.selector" -}}
app.kubernetes.io/name: gradpool
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end }}

{{- define "gradpool.labels" -}}
{{ include "gradpool.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "gradpool.podMetadata" -}}
labels:
  {{- include "gradpool.labels" . | nindent 2 }}
{{- if .root.Values.metrics.annotations }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: "7071"
  prometheus.io/scheme: {{ ternary "https" "http" .root.Values.tls.enabled }}
  prometheus.io/path: /metrics
{{- end }}
{{- end }}

{{/* What all pods share. */}}
{{- define "gradpool.podSpec" -}}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ add .root.Values.stopGraceSeconds 15 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A component's container, up to the last common mount: dict "root" . "component" "tokenizer" "resources" … */}}
{{- define "gradpool.container" -}}
name: {{ .component }}
{{- $image := .image | default .component }}
{{- $digest := get .root.Values.image.digests $image }}
image: {{ printf "%s/%s:%s%s" .root.Values.image.registry $image (.root.Values.image.tag | default .root.Chart.AppVersion) (empty $digest | ternary "" (printf "@%s" $digest)) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
ports:
  - { name: grpc, containerPort: 7070 }
  - { name: http, containerPort: 7071 }
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- /* The kubelet has no certificate for gRPC; over HTTPS it checks none. */}}
{{- $scheme := ternary "HTTPS" "HTTP" .root.Values.tls.enabled }}
startupProbe: { httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }, periodSeconds: 2, failureThreshold: 60 }
livenessProbe: { httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
readinessProbe: { httpGet: { path: {{ ternary "/healthz" "/readyz" (.ownReadiness | default false) }}, port: http, scheme: {{ $scheme }} }, periodSeconds: 5, timeoutSeconds: 5 }
resources: {{ toYaml .resources | nindent 2 }}
volumeMounts:
  - { name: cache, mountPath: /var/lib/gradpool }
  - { name: tmp, mountPath: /tmp }
  - { name: key, mountPath: /run/secrets/gradpool, readOnly: true }
  {{- if .root.Values.tls.enabled }}
  - { name: tls, mountPath: /run/secrets/gradpool-tls, readOnly: true }
  {{- end }}
  {{- if eq .component "checkpoint-store" }}
  - { name: outputs, mountPath: /outputs }
  {{- end }}
  {{- if .root.Values.volumes.dataClaim }}
  - { name: data, mountPath: /data, readOnly: true }
  {{- end }}
{{- end }}

{{/* For a component: dict "root" . "component" "tokenizer" */}}
{{- define "gradpool.volumes" -}}
{{- $outputs := .root.Values.volumes.outputsClaim | default (printf "%s-outputs" (include "gradpool.name" .root)) }}
- name: cache
  emptyDir: { sizeLimit: {{ .root.Values.volumes.cacheSize | quote }} }
- name: tmp
  emptyDir: { sizeLimit: {{ .root.Values.volumes.tmpSize | quote }} }
- name: key
  secret: { secretName: {{ include "gradpool.keySecret" .root | quote }}, items: [{ key: key, path: key }], defaultMode: 0440 }
{{- if .root.Values.tls.enabled }}
- name: tls
  secret: { secretName: {{ printf "%s-%s" (include "gradpool.tlsSecrets" .root) (regexReplaceAll "^trainer-.*" .component "trainer") | quote }}, defaultMode: 0440 }
{{- end }}
{{- if eq .component "checkpoint-store" }}
- name: outputs
  persistentVolumeClaim: { claimName: {{ $outputs | quote }} }
{{- end }}
{{- with .root.Values.volumes.dataClaim }}
- name: data
  persistentVolumeClaim: { claimName: {{ . | quote }}, readOnly: true }
{{- end }}
{{- end }}

{{/* The secret with the pool's key. */}}
{{- define "gradpool.keySecret" -}}
{{ .Values.key.existingSecret | default (printf "%s-key" (include "gradpool.name" .)) }}
{{- end }}

{{/* What the names of the secrets with certificates begin with. */}}
{{- define "gradpool.tlsSecrets" -}}
{{ .Values.tls.existingSecrets | default (printf "%s-tls" (include "gradpool.name" .)) }}
{{- end }}

{{/* Variables for every service. */}}
{{- define "gradpool.env" -}}
- { name: GRADPOOL_KEY_FILE, value: /run/secrets/gradpool/key }
{{- if .Values.tls.enabled }}
- { name: GRADPOOL_TLS_CA, value: /run/secrets/gradpool-tls/ca.crt }
- { name: GRADPOOL_TLS_CERT, value: /run/secrets/gradpool-tls/tls.crt }
- { name: GRADPOOL_TLS_KEY, value: /run/secrets/gradpool-tls/tls.key }
{{- else }}
- { name: GRADPOOL_INSECURE, value: "1" }
{{- end }}
- { name: GRADPOOL_ROOTS, value: {{ join "," .Values.roots | quote }} }
- { name: GRADPOOL_LOG_LEVEL, value: {{ .Values.logLevel | quote }} }
- { name: GRADPOOL_STOP_GRACE_SECONDS, value: {{ .Values.stopGraceSeconds | quote }} }
- { name: HF_ENDPOINT, value: {{ .Values.hub.endpoint | quote }} }
{{- if .Values.tracing.endpoint }}
- { name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .Values.tracing.endpoint | quote }} }
{{- end }}
{{- end }}

{{/* More of them, from the values: list of all services' and of one's own. */}}
{{- define "gradpool.extraEnv" -}}
{{- range . }}
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "gradpool.envFrom" -}}
{{- with .Values.hub.existingSecret }}
- secretRef: { name: {{ . | quote }} }
{{- end }}
{{- end }}
