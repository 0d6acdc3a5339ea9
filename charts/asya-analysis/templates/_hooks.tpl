{{/*
Jobs that run the operator's binary with a subcommand: before install and upgrade `crds apply`, around
uninstalling `finalizers remove`. Each has a ServiceAccount of its own that lives as long as the hook.
*/}}
{{- define "asya-analysis.hookServiceAccount" -}}
{{- $own := (index . 0).Values.rbac.create -}}
{{- $name := printf "%s-%s" (include "asya-analysis.fullname" (index . 0)) (index . 1) -}}
{{- $existing := (index . 0).Values.hooks.serviceAccountName -}}
{{- if $own -}}{{- $name -}}{{- else -}}{{- default (include "asya-analysis.serviceAccountName" (index . 0)) $existing -}}{{- end -}}
{{- end -}}

{{- define "asya-analysis.hookAnnotations" -}}
helm.sh/hook: {{ index . 0 }}
helm.sh/hook-weight: {{ index . 1 | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Arguments: root, short name, hooks, list of arguments. */}}
{{- define "asya-analysis.hookJob" -}}
{{- $root := index . 0 -}}
{{- $short := index . 1 -}}
{{- with $root -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "asya-analysis.fullname" . }}-{{ $short }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "asya-analysis.hookLabels" . | nindent 4 }}
  annotations:
    {{- include "asya-analysis.hookAnnotations" (list (index $ 2) 0) | nindent 4 }}
spec:
  backoffLimit: 3
  activeDeadlineSeconds: 300
  template:
    metadata:
      labels:
        {{- include "asya-analysis.hookLabels" . | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "asya-analysis.hookServiceAccount" (list . $short) }}
      {{- with include "asya-analysis.pullSecrets" . }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext:
        {{- include "asya-analysis.podSecurityContext" . | nindent 8 }}
      containers:
        - name: {{ $short }}
          image: {{ include "asya-analysis.image" . | quote }}
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args:
            {{- toYaml (index $ 3) | nindent 12 }}
          env:
            - {name: ASYA_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
            - {name: ASYA_LOG_FORMAT, value: {{ .Values.logFormat | quote }}}
            - {name: ASYA_OPERATOR_NAMESPACE, value: {{ .Release.Namespace | quote }}}
            - {name: ASYA_OPERATOR_DEPLOYMENT, value: {{ include "asya-analysis.fullname" . | quote }}}
            {{- with .Values.watchNamespaces }}
            - {name: ASYA_WATCH_NAMESPACES, value: {{ join "," . | quote }}}
            {{- end }}
          securityContext:
            {{- toYaml .Values.securityContext | nindent 12 }}
          resources:
            limits: {cpu: 500m, memory: 128Mi}
            requests: {cpu: 50m, memory: 32Mi}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
{{- end -}}

{{/* A hook's ServiceAccount. Arguments: root, short name, hooks. */}}
{{- define "asya-analysis.hookAccount" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "asya-analysis.hookServiceAccount" (list $root (index . 1)) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "asya-analysis.hookLabels" $root | nindent 4 }}
  annotations:
    {{- include "asya-analysis.hookAnnotations" (list (index . 2) -10) | nindent 4 }}
{{- end -}}

{{/* Metadata of a hook's role or binding. Arguments: root, name, namespace or "", hooks. */}}
{{- define "asya-analysis.hookMeta" -}}
metadata:
  name: {{ index . 1 }}
  {{- with index . 2 }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "asya-analysis.hookLabels" (index . 0) | nindent 4 }}
  annotations:
    {{- include "asya-analysis.hookAnnotations" (list (index . 3) -10) | nindent 4 }}
{{- end -}}

{{/* A hook's binding. Arguments: root, short name, kind of the role, its name. */}}
{{- define "asya-analysis.hookBinding" -}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ index . 2 }}, name: {{ index . 3 }}}
subjects:
  - kind: ServiceAccount
    name: {{ include "asya-analysis.hookServiceAccount" (list (index . 0) (index . 1)) }}
    namespace: {{ (index . 0).Release.Namespace }}
{{- end -}}
