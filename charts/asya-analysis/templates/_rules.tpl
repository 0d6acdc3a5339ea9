{{/*
What the operator may do where K8sGPTs are. It holds what it grants to the actors (results, leases). Secrets: it reads the
one with the kubeconfig of a K8sGPT, and writes the one with its harmless parts; it cannot list them.
*/}}
{{- define "asya-analysis.ownRules" -}}
- apiGroups: [core.k8sgpt.ai]
  resources: [k8sgpts]
  verbs: [get, list, watch, patch]
- apiGroups: [core.k8sgpt.ai]
  resources: [k8sgpts/status]
  verbs: [patch]
- apiGroups: [core.k8sgpt.ai]
  resources: [k8sgpts/finalizers]
  verbs: [update]
- apiGroups: [core.k8sgpt.ai]
  resources: [results]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [core.k8sgpt.ai]
  resources: [results/status]
  verbs: [get, patch]
- apiGroups: [asya.sh]
  resources: [asyncactors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
What reaches beyond those namespaces: the rights of watchers, which are bound where they watch; whether the original
operator runs somewhere. It may bind only the role that is named here.
*/}}
{{- define "asya-analysis.clusterRules" -}}
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterrolebindings, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ .Values.analysis.watchRole }}]
  verbs: [bind]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list]
{{- end -}}

{{/* A binding's subject. */}}
{{- define "asya-analysis.subject" -}}
- kind: ServiceAccount
  name: {{ include "asya-analysis.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
