{{/* A pod that makes one kubectl call. Arguments: root, name, hook, arguments of kubectl. */}}
{{- define "asya-actor.check" -}}
{{- $call := . -}}
{{- with index . 0 -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ index $call 1 | trunc 63 | trimSuffix "-" }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "asya-actor.labels" . | nindent 4 }}
  annotations:
    helm.sh/hook: {{ index $call 2 }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  serviceAccountName: {{ .Release.Name }}-{{ if eq (index $call 2) "test" }}checks{{ else }}precheck{{ end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: kubectl
      image: {{ .Values.tests.image | quote }}
      imagePullPolicy: {{ .Values.tests.imagePullPolicy }}
      command: [kubectl]
      args:
        {{- toYaml (index $call 3) | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        limits: {cpu: 200m, memory: 128Mi}
        requests: {cpu: 10m, memory: 32Mi}
{{- end -}}
{{- end -}}

{{/* Metadata of the checks' ServiceAccounts and roles. Arguments: root, hook, name, namespace or "". */}}
{{- define "asya-actor.checkMeta" -}}
metadata:
  name: {{ index . 2 }}
  {{- with index . 3 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "asya-actor.labels" (index . 0) | nindent 4 }}
  annotations:
    helm.sh/hook: {{ index . 1 }}
    helm.sh/hook-weight: "-10"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "asya-actor.checkBinding" -}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ index . 1 }}, name: {{ index . 2 }}}
subjects:
  - {kind: ServiceAccount, name: {{ index . 3 }}, namespace: {{ (index . 0).Release.Namespace }}}
{{- end -}}
