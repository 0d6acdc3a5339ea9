{{/*
What the operator may do where actors are. No wildcard, and no Secrets but those that agents.secrets names: the credentials
of brokers are mounted, and other namespaces get them only by transports.*.projectTo.
*/}}
{{- define "asya-operator.actorRules" -}}
- apiGroups: [asya.sh]
  resources: [asyncactors]
  verbs: [get, list, watch, update, patch]
- apiGroups: [asya.sh]
  resources: [asyncactors/status, asyncactors/finalizers]
  verbs: [update, patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [pods, serviceaccounts]
  verbs: [get, list, watch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [keda.sh]
  resources: [scaledobjects, scaledjobs, triggerauthentications]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
{{- if include "asya-operator.actorRole" . }}
# transports.*.config.actorRoleArn: actors' pods run as ServiceAccounts that carry the role
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, update, patch, delete]
{{- end }}
{{- if .Values.agents.enabled }}
# agents: what they become is an AsyncActor and a key of a ConfigMap; those that name no account run as one of their own, which
# goes with its actor
- apiGroups: [asya.sh]
  resources: [agents]
  verbs: [get, list, watch]
- apiGroups: [asya.sh]
  resources: [agents/status, agents/finalizers]
  verbs: [update, patch]
- apiGroups: [asya.sh]
  resources: [asyncactors]
  verbs: [create, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, patch]
{{- with .Values.agents.secrets }}
# agents.secrets: whether these exist is told in SecretsReady
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What has no namespace: Pod Security labels, whether KEDA and our CRD are there. */}}
{{- define "asya-operator.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  resourceNames:
    - asyncactors.asya.sh
    - agents.asya.sh
    - scaledobjects.keda.sh
    - scaledjobs.keda.sh
    - triggerauthentications.keda.sh
  verbs: [get, list, watch]
{{- end -}}

{{/* A binding's subject. */}}
{{- define "asya-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "asya-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
