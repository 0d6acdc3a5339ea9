{{/*
The keys of the chart of K8sGPT's operator, as they are called here. Arguments: values, defaults. Its README has the table;
what is not here has no effect, which the notes say.
*/}}
{{- define "asya-analysis.original" -}}
{{- $values := index . 0 -}}
{{- $defaults := index . 1 -}}
{{- $manager := $values.controllerManager -}}
{{- if $values.interplex.enabled -}}
{{- fail "interplex.enabled: this chart brings no Interplex, and no K8sGPT here asks one. Explanations are kept in the database, which all replicas and restarts share; remove interplex from the values and spec.remoteCache.interplex from the manifests, or use spec.remoteCache with s3, azure or gcs" -}}
{{- end -}}
{{- $same := dict -}}
{{- if hasKey $manager "replicas" -}}{{- $_ := set $same "replicaCount" $manager.replicas -}}{{- end -}}
{{- range $key := list "nodeSelector" "podSecurityContext" -}}
{{- if hasKey $manager $key -}}{{- $_ := set $same $key (get $manager $key) -}}{{- end -}}
{{- end -}}
{{- with $manager.annotations -}}{{- $_ := set $same "podAnnotations" . -}}{{- end -}}
{{- with $manager.labels -}}{{- if kindIs "map" . -}}{{- $_ := set $same "podLabels" . -}}{{- end -}}{{- end -}}
{{- with dig "manager" "resources" dict $manager -}}{{- $_ := set $same "resources" . -}}{{- end -}}
{{- with dig "manager" "containerSecurityContext" dict $manager -}}{{- $_ := set $same "securityContext" . -}}{{- end -}}
{{- with $values.serviceMonitor.additionalLabels -}}{{- $_ := set $same "serviceMonitor" (dict "labels" .) -}}{{- end -}}
{{- $board := $values.grafanaDashboard -}}
{{- $boards := dict -}}
{{- if $board.enabled -}}{{- $_ := set $boards "enabled" true -}}{{- end -}}
{{- with $board.namespace -}}{{- $_ := set $boards "namespace" . -}}{{- end -}}
{{- with $board.folder -}}{{- $_ := set $boards "annotations" (dict .annotation .name) -}}{{- end -}}
{{- if and $board.label (deepEqual $values.dashboards.labels $defaults.dashboards.labels) -}}
{{- $_ := set $values.dashboards "labels" (dict $board.label.key $board.label.value) -}}
{{- end -}}
{{- $_ := set $same "dashboards" $boards -}}
{{- include "asya-analysis.inherit" (list $values $same $defaults) -}}
{{- end -}}

{{/* Keys that were given and have no effect. Prints one a line. */}}
{{- define "asya-analysis.unused" -}}
{{- $manager := .Values.controllerManager -}}
{{- if $manager.kubeRbacProxy }}
controllerManager.kubeRbacProxy
{{- end }}
{{- range $key := list "image" "sinkWebhookTimeout" "enableResultLogging" }}
{{- if hasKey (dig "manager" dict $manager) $key }}
controllerManager.manager.{{ $key }}
{{- end }}
{{- end }}
{{- if .Values.metricsService }}
metricsService
{{- end }}
{{- if .Values.kubernetesClusterDomain }}
kubernetesClusterDomain
{{- end }}
{{- if dig "grafanaOperator" "enabled" false .Values.grafanaDashboard }}
grafanaDashboard.grafanaOperator
{{- end }}
{{- end -}}
