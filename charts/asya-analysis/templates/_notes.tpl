{{/* Sentences that a person must read. Prints one a line. */}}
{{- define "asya-analysis.warnings" -}}
{{- with include "asya-analysis.unused" . | trim }}
- These keys of the chart of K8sGPT's operator have no effect here: {{ splitList "\n" . | compact | join ", " }}.
{{- end }}
{{- if and (ge (int .Values.replicaCount) 2) (not .Values.leaderElection.enabled) }}
- replicaCount is {{ .Values.replicaCount }} and leaderElection.enabled is false: several operators would act at the same time.
{{- end }}
{{- if eq .Values.analysis.secrets "metadata" }}
- analysis.secrets=metadata: watchers may list Secrets with their contents, wherever a K8sGPT watches. They drop the contents.
{{- end }}
{{- if .Values.remediation.enabled }}
- remediation.enabled: K8sGPTs with spec.ai.autoRemediation propose changes. Give the ClusterRole asya-analysis-approver to people who may
  approve them, and the verbs approve and "*" on mutations.core.k8sgpt.ai to nothing that runs.
{{- end }}
{{- if not (.Capabilities.APIVersions.Has "asya.sh/v1alpha1/AsyncActor") }}
- The cluster has no AsyncActors: install the chart asya-operator, or nothing comes of a K8sGPT.
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor")) }}
- serviceMonitor.enabled has no effect: this cluster has no ServiceMonitor.
{{- end }}
{{- if and .Values.prometheusRule.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PrometheusRule")) }}
- prometheusRule.enabled has no effect: this cluster has no PrometheusRule.
{{- end }}
{{- if eq .Values.crds.install "none" }}
- crds.install=none: apply the CRDs yourself (crds/core.k8sgpt.ai_*.yaml of the repository), before K8sGPTs are made.
{{- end }}
{{- end -}}
