{{/* The registry goes in front of names without one. Arguments: root, name with tag or digest. */}}
{{- define "asya-crew.reference" -}}
{{- $registry := (index . 0).Values.global.imageRegistry | trimSuffix "/" -}}
{{- $image := index . 1 -}}
{{- $first := first (splitList "/" $image) -}}
{{- $named := and (contains "/" $image) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $registry (not $named) -}}{{ $registry }}/{{- end -}}
{{- $image -}}
{{- end -}}

{{/*
The Go chart's names in scaling. Arguments: scaling, what the chart itself says there. A newer name wins, unless it is there
with the chart's own value only: then nobody has given it.
*/}}
{{- define "asya-crew.spellings" -}}
{{- $scaling := index . 0 -}}
{{- $own := default dict (index . 1) -}}
{{- range $old, $new := dict "minReplicaCount" "minReplicas" "maxReplicaCount" "maxReplicas" -}}
{{- if hasKey $scaling $old -}}
{{- $given := and (hasKey $scaling $new) (ne (get $scaling $new | toString) (get $own $new | toString)) -}}
{{- if not $given -}}{{- $_ := set $scaling $new (get $scaling $old) -}}{{- end -}}
{{- $_ := unset $scaling $old -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Refuses a SQLite file for more than one replica or for none: each pod would have a file of its own, and nobody would look at
the time. Arguments: actor's key, the URLs that values say, scaling, workload. What a Secret holds cannot be seen here.
*/}}
{{- define "asya-crew.oneWriter" -}}
{{- $key := index . 0 -}}
{{- $scaling := index . 2 | default dict -}}
{{- $one := le (int (dig "replicas" 1 (index . 3))) 1 -}}
{{- if $scaling.enabled -}}
{{- $one = and (eq (int $scaling.minReplicas) 1) (eq (int (dig "maxReplicas" 50 $scaling)) 1) -}}
{{- end -}}
{{- range index . 1 -}}
{{- if and (not $one) (not (regexMatch "^(postgres(ql)?://|[$][(])" .)) -}}
{{- fail (printf "%s keeps its state in a SQLite file, which one replica alone may have: give a postgres:// address as ASYA_DATABASE_URL, or set %s.scaling.minReplicas and maxReplicas to 1 (without scaling: workload.replicas)" $key $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
