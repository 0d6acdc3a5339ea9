{{- define "asya-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "asya-gateway.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "asya-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "asya-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "asya-gateway.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
{{- end -}}

{{- define "asya-gateway.labels" -}}
{{ include "asya-gateway.selectorLabels" . }}
{{ include "asya-gateway.commonLabels" . }}
{{- end -}}

{{/* Labels of what is not the gateway itself. Arguments: root, part. */}}
{{- define "asya-gateway.partLabels" -}}
app.kubernetes.io/name: {{ include "asya-gateway.name" (index . 0) }}-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{ include "asya-gateway.commonLabels" (index . 0) }}
{{- end -}}

{{- define "asya-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "asya-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The registry goes in front of names without one. Arguments: root, name with tag or digest. */}}
{{- define "asya-gateway.reference" -}}
{{- $registry := (index . 0).Values.global.imageRegistry | trimSuffix "/" -}}
{{- $image := index . 1 -}}
{{- $first := first (splitList "/" $image) -}}
{{- $named := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) -}}{{ $registry }}/{{- end -}}
{{- $image -}}
{{- end -}}

{{- define "asya-gateway.image" -}}
{{- $image := .Values.image -}}
{{- $name := printf "%s:%s" $image.repository (toString $image.tag) -}}
{{- if $image.digest -}}{{- $name = printf "%s@%s" $image.repository $image.digest -}}{{- end -}}
{{- include "asya-gateway.reference" (list . $name) -}}
{{- end -}}

{{- define "asya-gateway.pullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "asya-gateway.podSecurityContext" -}}
{{- merge (deepCopy .Values.podSecurityContext) (dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault")) | toYaml -}}
{{- end -}}

{{/* What the restricted Pod Security Standard asks for, also when older values say less. */}}
{{- define "asya-gateway.securityContext" -}}
{{- merge (deepCopy .Values.securityContext) (dict "allowPrivilegeEscalation" false "capabilities" (dict "drop" (list "ALL"))) | toYaml -}}
{{- end -}}

{{/* Environment of the gateway and of its migration. */}}
{{- define "asya-gateway.databaseEnv" -}}
{{- $db := .Values.externalDatabase -}}
{{- if and (not .Values.postgresql.enabled) $db.host $db.existingSecret -}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ $db.existingSecret }}, key: {{ $db.existingSecretKey }}}
- name: ASYA_DATABASE_URL
  value: {{ printf "postgresql://%s@%s:%d/%s" (urlquery $db.username) $db.host (int $db.port) $db.database | quote }}
{{- else if include "asya-gateway.hasDatabase" . -}}
- name: ASYA_DATABASE_URL
  valueFrom:
    secretKeyRef: {name: {{ include "asya-gateway.fullname" . }}-db, key: database-url}
{{- end -}}
{{- end -}}

{{/* Who may come. */}}
{{- define "asya-gateway.authEnv" -}}
{{- $auth := .Values.auth -}}
{{- if ne $auth.mode "on" -}}
- {name: ASYA_GATEWAY_AUTH, value: "off"}
{{- else -}}
- {name: ASYA_GATEWAY_AUTH, value: "on"}
{{- if not (or $auth.tokensSecretRef.name $auth.oidc.issuer) }}
{{- fail "auth.mode on needs auth.tokensSecretRef.name or auth.oidc.issuer" }}
{{- end }}
{{- if $auth.tokensSecretRef.name }}
- {name: ASYA_GATEWAY_TOKENS_FILE, value: {{ printf "/var/run/secrets/asya.sh/tokens/%s" $auth.tokensSecretRef.key | quote }}}
{{- end }}
{{- with $auth.oidc.issuer }}
- {name: ASYA_GATEWAY_OIDC_ISSUER, value: {{ . | quote }}}
- {name: ASYA_GATEWAY_OIDC_AUDIENCE, value: {{ required "auth.oidc.issuer needs auth.oidc.audience" $auth.oidc.audience | quote }}}
- {name: ASYA_GATEWAY_OIDC_ROLES_CLAIM, value: {{ $auth.oidc.rolesClaim | quote }}}
- {name: ASYA_GATEWAY_OIDC_GROUPS_CLAIM, value: {{ $auth.oidc.groupsClaim | quote }}}
- {name: ASYA_GATEWAY_OIDC_ROLES, value: {{ $auth.oidc.roles | quote }}}
{{- end }}
{{- if eq $auth.callbacks.mode "kubernetes" }}
- {name: ASYA_GATEWAY_CALLBACK_ISSUER, value: kubernetes}
{{- else if eq $auth.callbacks.mode "legacy" }}
- {name: ASYA_GATEWAY_CALLBACK_AUTH, value: legacy}
{{- else }}
- {name: ASYA_GATEWAY_CALLBACK_TOKEN_FILE, value: {{ printf "/var/run/secrets/asya.sh/callbacks/%s" $auth.callbacks.secretRef.key | quote }}}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Volumes of the gateway itself, and where they are mounted. */}}
{{- define "asya-gateway.volumes" -}}
{{- $auth := .Values.auth -}}
{{- if include "asya-gateway.hasRoutes" . }}
- name: routes
  configMap: {name: gateway-routes}
{{- end }}
{{- with .Values.agents.configMap }}
# The operator makes it with the first agent
- name: agents
  configMap: {name: {{ . }}, optional: true}
{{- end }}
{{- with .Values.agents.keySecretRef.name }}
- name: subject-key
  secret: {secretName: {{ . }}}
{{- end }}
{{- if not (include "asya-gateway.hasDatabase" .) }}
# The temporary database
- {name: tmp, emptyDir: {}}
{{- end }}
{{- if eq $auth.mode "on" }}
{{- with $auth.tokensSecretRef.name }}
- name: tokens
  secret: {secretName: {{ . }}}
{{- end }}
{{- if eq $auth.callbacks.mode "secret" }}
- name: callbacks
  secret: {secretName: {{ required "auth.callbacks.mode secret needs auth.callbacks.secretRef.name" $auth.callbacks.secretRef.name }}}
{{- end }}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "asya-gateway.volumeMounts" -}}
{{- $auth := .Values.auth -}}
{{- if include "asya-gateway.hasRoutes" . }}
- {name: routes, mountPath: /config, readOnly: true}
{{- end }}
{{- if .Values.agents.configMap }}
- {name: agents, mountPath: /agents, readOnly: true}
{{- end }}
{{- if .Values.agents.keySecretRef.name }}
- {name: subject-key, mountPath: /var/run/secrets/asya.sh/subject, readOnly: true}
{{- end }}
{{- if not (include "asya-gateway.hasDatabase" .) }}
- {name: tmp, mountPath: /tmp}
{{- end }}
{{- if eq $auth.mode "on" }}
{{- if $auth.tokensSecretRef.name }}
- {name: tokens, mountPath: /var/run/secrets/asya.sh/tokens, readOnly: true}
{{- end }}
{{- if eq $auth.callbacks.mode "secret" }}
- {name: callbacks, mountPath: /var/run/secrets/asya.sh/callbacks, readOnly: true}
{{- end }}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "asya-gateway.hasDatabase" -}}
{{- if or .Values.postgresql.enabled .Values.externalDatabase.host -}}true{{- end -}}
{{- end -}}

{{/* "true" when there is a configuration file to mount: a gateway without tools must not be given an empty one. */}}
{{- define "asya-gateway.hasRoutes" -}}
{{- if or (not .Values.routes.createConfigMap) .Values.routes.tools -}}true{{- end -}}
{{- end -}}
