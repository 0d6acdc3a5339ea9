{{/* Names and labels. */}}
{{- define "asya-analysis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters, so that suffixes fit into 63. */}}
{{- define "asya-analysis.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of the Deployment. */}}
{{- define "asya-analysis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "asya-analysis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "asya-analysis.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "asya-analysis.labels" -}}
{{ include "asya-analysis.selectorLabels" . }}
{{ include "asya-analysis.commonLabels" . }}
{{- end -}}

{{/* Of the hooks' and tests' pods: not the operator's, or its Service and budget would count them. */}}
{{- define "asya-analysis.hookLabels" -}}
app.kubernetes.io/name: {{ include "asya-analysis.name" . }}-hooks
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "asya-analysis.commonLabels" . }}
{{- end -}}

{{- define "asya-analysis.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "asya-analysis.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image of ours. Arguments: root, name with tag or digest. The registry goes in front of names without one. */}}
{{- define "asya-analysis.reference" -}}
{{- $registry := (index . 0).Values.global.imageRegistry | trimSuffix "/" -}}
{{- $image := index . 1 -}}
{{- $first := first (splitList "/" $image) -}}
{{- $named := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) -}}{{ $registry }}/{{- end -}}
{{- $image -}}
{{- end -}}

{{- define "asya-analysis.image" -}}
{{- $image := .Values.image -}}
{{- $name := printf "%s:%s" $image.repository (toString $image.tag) -}}
{{- if $image.digest -}}{{- $name = printf "%s@%s" $image.repository $image.digest -}}{{- end -}}
{{- include "asya-analysis.reference" (list . $name) -}}
{{- end -}}

{{/* Pull secrets, given as names or as {name: ...}. Arguments: lists. Prints a JSON list of names without repetition. */}}
{{- define "asya-analysis.secretNames" -}}
{{- $names := list -}}
{{- range . -}}{{- range . -}}
{{- if kindIs "map" . -}}{{- $names = append $names .name -}}{{- else -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}{{- end -}}
{{- uniq $names | toJson -}}
{{- end -}}

{{- define "asya-analysis.pullSecrets" -}}
{{- $names := include "asya-analysis.secretNames" (list .Values.global.imagePullSecrets .Values.imagePullSecrets) | fromJsonArray -}}
{{- if $names -}}
imagePullSecrets:
{{- range $names }}
  - name: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What the restricted Pod Security Standard asks for, also when older values say less. */}}
{{- define "asya-analysis.podSecurityContext" -}}
{{- merge (deepCopy .Values.podSecurityContext) (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) | toYaml -}}
{{- end -}}

{{/* "true" when a switch of auto, true or false is on. Arguments: switch, what auto means. */}}
{{- define "asya-analysis.switch" -}}
{{- $switch := toString (index . 0) -}}
{{- if or (eq $switch "true") (and (eq $switch "auto") (index . 1)) -}}true{{- end -}}
{{- end -}}

{{/* Environment of the operator's container. */}}
{{- define "asya-analysis.env" -}}
{{- $v := .Values -}}
- name: ASYA_OPERATOR_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: ASYA_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: ASYA_LOG_LEVEL, value: {{ $v.logLevel | quote }}}
- {name: ASYA_LOG_FORMAT, value: {{ $v.logFormat | quote }}}
{{- with $v.watchNamespaces }}
- {name: ASYA_WATCH_NAMESPACES, value: {{ join "," . | quote }}}
{{- end }}
- {name: ASYA_ANALYSIS_IMAGE, value: {{ include "asya-analysis.reference" (list . $v.actors.image) | quote }}}
- {name: ASYA_ANALYSIS_IMAGE_PULL_POLICY, value: {{ $v.actors.imagePullPolicy | quote }}}
- {name: ASYA_ANALYSIS_TRANSPORT, value: {{ $v.actors.transport | quote }}}
- {name: ASYA_ANALYSIS_DATABASE_SECRET, value: {{ $v.database.existingSecret | quote }}}
- {name: ASYA_ANALYSIS_DATABASE_KEY, value: {{ $v.database.key | quote }}}
- {name: ASYA_ANALYSIS_WATCH_ROLE, value: {{ $v.analysis.watchRole | quote }}}
{{- if $v.remediation.enabled }}
- {name: ASYA_ANALYSIS_REMEDIATION, value: "true"}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
