{{/* A test: one kubectl call in a pod. Arguments: root, short name, list of arguments, ServiceAccount. */}}
{{- define "asya-analysis.test" -}}
{{- $root := index . 0 -}}
{{- $short := index . 1 -}}
{{- with $root -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "asya-analysis.fullname" . }}-test-{{ $short }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "asya-analysis.hookLabels" . | nindent 4 }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  serviceAccountName: {{ index $ 3 }}
  {{- with include "asya-analysis.pullSecrets" . }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "asya-analysis.podSecurityContext" . | nindent 4 }}
  containers:
    - name: kubectl
      image: {{ .Values.tests.image | quote }}
      imagePullPolicy: {{ .Values.tests.imagePullPolicy }}
      command: [kubectl]
      args:
        {{- toYaml (index $ 2) | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      resources:
        limits: {cpu: 200m, memory: 128Mi}
        requests: {cpu: 10m, memory: 32Mi}
{{- end -}}
{{- end -}}
