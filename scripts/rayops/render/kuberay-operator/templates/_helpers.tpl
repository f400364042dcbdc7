{{- define "operator.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "operator.fullname" -}}
{{ .Values.fullnameOverride | default (printf "%s-%s" .Release.Name (include "operator.name" .)) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "operator.account" -}}
{{ .Values.serviceAccount.name | default (ternary (include "operator.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ include "operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/component: {{ .Values.componentOverride }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The namespaces the operator looks at, comma separated; empty is all of them. */}}
{{- define "operator.namespaces" -}}
{{- if .Values.watchNamespace -}}
{{ join "," .Values.watchNamespace }}
{{- else if .Values.singleNamespaceInstall -}}
{{ .Release.Namespace }}
{{- end -}}
{{- end }}

{{- define "operator.gates" -}}
{{- $gates := list -}}
{{- range .Values.featureGates -}}
{{- $gates = append $gates (printf "%s=%t" .name .enabled) -}}
{{- end -}}
{{ join "," $gates }}
{{- end }}

{{- define "operator.logFile" -}}
{{- if and .Values.logging.baseDir .Values.logging.fileName -}}
{{ .Values.logging.baseDir }}/{{ .Values.logging.fileName }}
{{- end -}}
{{- end }}
