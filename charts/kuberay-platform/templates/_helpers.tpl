{{/* The labels that the operator's chart selects its pods by. */}}
{{- define "platform.operator" -}}
app.kubernetes.io/name: {{ (index .Values "kuberay-operator").nameOverride | default "kuberay-operator" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
