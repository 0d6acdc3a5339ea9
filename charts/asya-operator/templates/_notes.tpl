{{/* Sentences that a person must read. Prints one a line. */}}
{{- define "asya-operator.warnings" -}}
{{- if .Values.operator.transports }}
- operator.transports is the Go chart's spelling and was read. Move it to the top level: transports.
{{- end }}
{{- if .Values.operator.gatewayURL }}
- operator.gatewayURL is the Go chart's spelling and was read. Move it to the top level: gatewayURL.
{{- end }}
{{- if .Values.runtime.localPath }}
- runtime.localPath is the Go chart's spelling and was read. Call it runtime.local.path.
{{- end }}
{{- if .Values.runtime.githubRelease }}
- runtime.githubRelease is the Go chart's spelling and was read. Call it runtime.github.version.
{{- end }}
{{- if and .Values.runtime.local.path (not (hasPrefix "/" .Values.runtime.local.path)) }}
- runtime.local.path={{ .Values.runtime.local.path }} is no absolute path: the file in the operator's image is used.
{{- end }}
{{- if include "asya-operator.runtimeFromNode" . }}
- {{ .Values.runtime.local.path }} is read from the node that the operator runs on. Namespaces that enforce the baseline or
  restricted Pod Security Standard refuse such a pod: mount a ConfigMap with `volumes` and `volumeMounts` there.
{{- end }}
{{- range $name, $transport := include "asya-operator.enabledTransports" . | fromJson }}
{{- if and (eq $transport.type "rabbitmq") (not $transport.config.passwordSecretRef) }}
- transports.{{ $name }} has no passwordSecretRef: the password is "guest".
{{- end }}
{{- if and (eq $transport.type "rabbitmq") (eq (toString $transport.config.tls) "true") (eq (int $transport.config.port) 5672) }}
- transports.{{ $name }} has tls: true and port 5672, where brokers speak without TLS: set
  transports.{{ $name }}.config.port, usually to 5671.
{{- end }}
{{- if and (eq $transport.type "rabbitmq") (not $transport.config.managementURL) }}
- transports.{{ $name }} has no managementURL: only waiting messages are counted, so that scaling in may interrupt work
  (condition ScaleInMayInterrupt).
{{- end }}
{{- if and (eq $transport.type "sqs") (not $transport.config.accountId) }}
- transports.{{ $name }} has no accountId: KEDA's trigger needs it.
{{- end }}
{{- end }}
{{- if and (ge (int .Values.replicaCount) 2) (not .Values.leaderElection.enabled) }}
- replicaCount is {{ .Values.replicaCount }} and leaderElection.enabled is false: several operators would act at the same time.
{{- end }}
{{- if and (include "asya-operator.push" .) (not (.Capabilities.APIVersions.Has "keda.sh/v1alpha1")) }}
- KEDA's resources are not there: the push scaler's ClusterTriggerAuthentication was left out. Install KEDA 2.18 or newer,
  then run `helm upgrade` again.
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor")) }}
- serviceMonitor.enabled has no effect: this cluster has no ServiceMonitor.
{{- end }}
{{- if and .Values.podMonitor.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PodMonitor")) }}
- podMonitor.enabled has no effect: this cluster has no PodMonitor.
{{- end }}
{{- if and .Values.prometheusRule.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PrometheusRule")) }}
- prometheusRule.enabled has no effect: this cluster has no PrometheusRule.
{{- end }}
{{- if eq .Values.crds.install "none" }}
- crds.install=none: apply the CRDs yourself (crds/ of the repository), before actors are made.
{{- end }}
{{- end -}}
