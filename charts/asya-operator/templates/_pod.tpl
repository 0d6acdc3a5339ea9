{{/* Environment of the operator's container. */}}
{{- define "asya-operator.env" -}}
{{- $v := .Values -}}
- name: ASYA_OPERATOR_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: ASYA_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: ASYA_LOG_LEVEL, value: {{ $v.logLevel | quote }}}
- {name: ASYA_LOG_FORMAT, value: {{ $v.logFormat | quote }}}
- name: ASYA_TRANSPORT_CONFIG
  value: {{ include "asya-operator.transportConfig" . | quote }}
- {name: ASYA_TRANSPORT_SECRETS_DIR, value: /etc/asya/transports}
- {name: ASYA_QUEUE_TEMPLATE, value: {{ $v.queues.template | quote }}}
- {name: ASYA_MAX_CONCURRENT_RECONCILES, value: {{ $v.controller.maxConcurrentReconciles | quote }}}
- {name: ASYA_QUEUE_HEALTH_CHECK_INTERVAL, value: {{ $v.controller.queueHealthCheckInterval | quote }}}
- {name: ASYA_DISABLE_QUEUE_MANAGEMENT, value: {{ $v.controller.disableQueueManagement | quote }}}
- {name: ASYA_RESYNC_INTERVAL, value: {{ $v.controller.resyncInterval | quote }}}
- {name: ASYA_DELETION_TIMEOUT, value: {{ $v.deletion.timeout | quote }}}
- {name: ASYA_ROLLOUT_POLICY, value: {{ $v.rollout.policy | quote }}}
- {name: ASYA_ROLLOUT_MAX_CONCURRENT, value: {{ $v.rollout.maxConcurrent | quote }}}
{{- with $v.watchNamespaces }}
- {name: ASYA_WATCH_NAMESPACES, value: {{ join "," . | quote }}}
{{- end }}
{{- with $v.gatewayURL }}
- {name: ASYA_GATEWAY_URL, value: {{ . | quote }}}
{{- end }}
- {name: ASYA_SIDECAR_IMAGE, value: {{ include "asya-operator.reference" (list . $v.sidecar.image) | quote }}}
- {name: ASYA_SIDECAR_IMAGE_PULL_POLICY, value: {{ $v.sidecar.imagePullPolicy | quote }}}
{{- $pull := include "asya-operator.secretNames" (list $v.global.imagePullSecrets $v.sidecar.imagePullSecrets) | fromJsonArray }}
{{- with $pull }}
- {name: ASYA_SIDECAR_IMAGE_PULL_SECRETS, value: {{ join "," . | quote }}}
{{- end }}
- name: ASYA_SIDECAR_RESOURCES
  value: {{ $v.sidecar.defaultResources | toJson | quote }}
{{- with $v.sidecar.env }}
- name: ASYA_SIDECAR_ENV
  value: {{ . | toJson | quote }}
{{- end }}
- {name: ASYA_NATIVE_SIDECAR, value: {{ $v.sidecar.native | quote }}}
{{- if $v.agents.enabled }}
- {name: ASYA_AGENTS, value: "true"}
- {name: ASYA_AGENT_IMAGE, value: {{ include "asya-operator.reference" (list . $v.agents.image) | quote }}}
- {name: ASYA_AGENT_IMAGE_PULL_POLICY, value: {{ $v.agents.imagePullPolicy | quote }}}
{{- end }}
- {name: ASYA_RUNTIME_NAMESPACE, value: {{ $v.runtime.namespace | quote }}}
- {name: ASYA_RUNTIME_SOURCE, value: {{ $v.runtime.source | quote }}}
- {name: ASYA_RUNTIME_SCRIPT_PATH, value: {{ include "asya-operator.runtimePath" . | quote }}}
{{- if eq $v.runtime.source "github" }}
- {name: ASYA_RUNTIME_GITHUB_REPO, value: {{ $v.runtime.github.repo | quote }}}
- {name: ASYA_RUNTIME_GITHUB_VERSION, value: {{ $v.runtime.github.version | quote }}}
- {name: ASYA_RUNTIME_GITHUB_SHA256, value: {{ $v.runtime.github.sha256 | quote }}}
{{- end }}
{{- if include "asya-operator.push" . }}
- {name: ASYA_SCALER_ADDRESS, value: {{ printf "%s:%d" (include "asya-operator.pushHost" .) (int $v.scaler.push.port) | quote }}}
- {name: ASYA_SCALER_TLS_DIR, value: /etc/asya/scaler}
- {name: ASYA_SCALER_AUTHENTICATION, value: {{ include "asya-operator.fullname" . }}-scaler}
- {name: ASYA_SCALER_DEFAULT, value: {{ $v.scaler.push.default | quote }}}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Every enabled transport's Secrets as files. They are optional: one that is missing is a condition of that transport's
actors and does not keep the operator from starting.
*/}}
{{- define "asya-operator.volumes" -}}
{{- range $name, $transport := include "asya-operator.enabledTransports" . | fromJson }}
{{- with include "asya-operator.transportKeys" (list $name $transport.config) | fromJson }}
- name: transport-{{ $name }}
  projected:
    sources:
      {{- range $key, $secret := . }}
      - secret: {name: {{ $secret }}, optional: true, items: [{key: {{ $key }}, path: {{ $key }}}]}
      {{- end }}
{{- end }}
{{- end }}
{{- if include "asya-operator.push" . }}
- name: scaler-tls
  secret: {secretName: {{ include "asya-operator.pushServerSecret" . }}}
{{- end }}
{{- if include "asya-operator.runtimeFromNode" . }}
- name: runtime
  hostPath: {path: {{ .Values.runtime.local.path | quote }}, type: File}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "asya-operator.volumeMounts" -}}
{{- range $name, $transport := include "asya-operator.enabledTransports" . | fromJson }}
{{- if include "asya-operator.transportKeys" (list $name $transport.config) | fromJson }}
- {name: transport-{{ $name }}, mountPath: /etc/asya/transports/{{ $name }}, readOnly: true}
{{- end }}
{{- end }}
{{- if include "asya-operator.push" . }}
- {name: scaler-tls, mountPath: /etc/asya/scaler, readOnly: true}
{{- end }}
{{- if include "asya-operator.runtimeFromNode" . }}
- {name: runtime, mountPath: {{ .Values.runtime.local.path | quote }}, readOnly: true}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
