{{/* Names and labels. */}}
{{- define "asya-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters, so that suffixes fit into 63. */}}
{{- define "asya-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of the Deployment. The same as in the Go system's chart: a selector cannot be changed. */}}
{{- define "asya-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "asya-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "asya-operator.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "asya-operator.labels" -}}
{{ include "asya-operator.selectorLabels" . }}
{{ include "asya-operator.commonLabels" . }}
{{- end -}}

{{/* Of the hooks' and tests' pods: not the operator's, or its Service and budget would count them. */}}
{{- define "asya-operator.hookLabels" -}}
app.kubernetes.io/name: {{ include "asya-operator.name" . }}-hooks
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "asya-operator.commonLabels" . }}
{{- end -}}

{{- define "asya-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "asya-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image of ours. Arguments: root, name with tag or digest. The registry goes in front of names without one. */}}
{{- define "asya-operator.reference" -}}
{{- $registry := (index . 0).Values.global.imageRegistry | trimSuffix "/" -}}
{{- $image := index . 1 -}}
{{- $first := first (splitList "/" $image) -}}
{{- $named := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) -}}{{ $registry }}/{{- end -}}
{{- $image -}}
{{- end -}}

{{- define "asya-operator.image" -}}
{{- $image := .Values.image -}}
{{- $name := printf "%s:%s" $image.repository (toString $image.tag) -}}
{{- if $image.digest -}}{{- $name = printf "%s@%s" $image.repository $image.digest -}}{{- end -}}
{{- include "asya-operator.reference" (list . $name) -}}
{{- end -}}

{{/* Pull secrets, given as names or as {name: ...}. Arguments: lists. Prints a JSON list of names without repetition. */}}
{{- define "asya-operator.secretNames" -}}
{{- $names := list -}}
{{- range . -}}{{- range . -}}
{{- if kindIs "map" . -}}{{- $names = append $names .name -}}{{- else -}}{{- $names = append $names . -}}{{- end -}}
{{- end -}}{{- end -}}
{{- uniq $names | toJson -}}
{{- end -}}

{{- define "asya-operator.pullSecrets" -}}
{{- $names := include "asya-operator.secretNames" (list .Values.global.imagePullSecrets .Values.imagePullSecrets) | fromJsonArray -}}
{{- if $names -}}
imagePullSecrets:
{{- range $names }}
  - name: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* What the restricted Pod Security Standard asks for, also when older values say less. */}}
{{- define "asya-operator.podSecurityContext" -}}
{{- merge (deepCopy .Values.podSecurityContext) (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) | toYaml -}}
{{- end -}}

{{/* "true" when a switch of auto, true or false is on. Arguments: switch, what auto means. */}}
{{- define "asya-operator.switch" -}}
{{- $switch := toString (index . 0) -}}
{{- if or (eq $switch "true") (and (eq $switch "auto") (index . 1)) -}}true{{- end -}}
{{- end -}}

{{- define "asya-operator.push" -}}
{{- include "asya-operator.switch" (list .Values.scaler.push.enabled (ge (int .Values.replicaCount) 2)) -}}
{{- end -}}

{{/* Secrets with the push scaler's certificates: of the operator, of KEDA. */}}
{{- define "asya-operator.pushServerSecret" -}}
{{- $tls := .Values.scaler.push.tls -}}
{{- if eq $tls.source "secret" -}}{{- required "scaler.push.tls.source=secret needs scaler.push.tls.serverSecret" $tls.serverSecret -}}
{{- else -}}{{- include "asya-operator.fullname" . -}}-scaler-tls{{- end -}}
{{- end -}}
{{- define "asya-operator.pushClientSecret" -}}
{{- $tls := .Values.scaler.push.tls -}}
{{- if eq $tls.source "secret" -}}{{- required "scaler.push.tls.source=secret needs scaler.push.tls.clientSecret" $tls.clientSecret -}}
{{- else -}}{{- include "asya-operator.fullname" . -}}-scaler-client{{- end -}}
{{- end -}}

{{/* How KEDA calls the scaler; the name in its certificate. */}}
{{- define "asya-operator.pushHost" -}}
{{- include "asya-operator.fullname" . -}}-scaler.{{ .Release.Namespace }}.svc
{{- end -}}
