{{/* Every object is called slipway-<part>: one platform a namespace, and OpenBao's roles know the names. */}}

{{- define "slipway.services" -}}
["gateway","catalog","provisioner","secrets","cicd","notifier"]
{{- end }}

{{- define "slipway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: slipway
{{- end }}

{{/* (dict "root" $ "part" "gateway") */}}
{{- define "slipway.selector" -}}
app.kubernetes.io/name: slipway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "slipway.metadata" -}}
name: slipway-{{ .name | default .part }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "slipway.labels" .root | nindent 2 }}
  {{- include "slipway.selector" . | nindent 2 }}
{{- end }}

{{/* Of a pod: nothing that another version of the chart would change for its own sake. */}}
{{- define "slipway.pod.labels" -}}
app.kubernetes.io/part-of: slipway
{{ include "slipway.selector" . }}
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "image" "gateway"): a digest counts for more than a tag. */}}
{{- define "slipway.image" -}}
{{- $registry := required "image.registry is where your images are, such as registry.example.com/slipway" .root.Values.image.registry -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- with get .root.Values.image.digests .image -}}
{{ printf "%s/%s:%s@%s" $registry $.image $tag . }}
{{- else -}}
{{ printf "%s/%s:%s" $registry .image $tag }}
{{- end -}}
{{- end }}

{{/* The port of a URL: the one it names, else that of its scheme. */}}
{{- define "slipway.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end }}

{{- define "slipway.pod.security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "slipway.container.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* What every pod has, whatever it runs. */}}
{{- define "slipway.pod" -}}
serviceAccountName: slipway-{{ .part }}
automountServiceAccountToken: {{ and (eq .part "provisioner") .root.Values.provisioner.inCluster }}
enableServiceLinks: false
securityContext:
  {{- include "slipway.pod.security" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The volume with what a part may know, as files; OpenBao's provider writes it when the pod starts. */}}
{{- define "slipway.keys" -}}
- name: keys
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes: { secretProviderClass: slipway-{{ .part }} }
{{- end }}

{{/* The files that a part may know, as JSON: names in its secret in OpenBao, and of the files in its pod. */}}
{{- define "slipway.files" -}}
{{- $values := .root.Values -}}
{{- $files := list -}}
{{- if eq .part "nats" -}}
{{- $files = list "cluster.conf" -}}
{{- else if eq .part "deploy" -}}
{{- $files = list "nats-deploy.nk" "nats-sys.nk" -}}
{{- else -}}
{{- $files = list "nats.nk" "event-id.key" -}}
{{- end -}}
{{- if has .part (list "gateway" "catalog" "notifier") -}}
{{- $files = append $files "postgres.password" -}}
{{- end -}}
{{- if has .part (list "gateway" "notifier") -}}
{{- $files = append $files "webhooks.key" -}}
{{- end -}}
{{- if eq .part "gateway" -}}
{{- $files = append $files "admin.token" -}}
{{- if $values.github.webhooks }}{{ $files = append $files "github-webhook.secret" }}{{ end -}}
{{- if and $values.people.issuer (not $values.people.publicClient) }}{{ $files = append $files "oidc-client.secret" }}{{ end -}}
{{- else if eq .part "provisioner" -}}
{{- $files = append $files "github.token" -}}
{{- else if eq .part "secrets" -}}
{{- $files = concat $files (list "openbao.role-id" "openbao.secret-id") -}}
{{- else if eq .part "cicd" -}}
{{- $files = append $files (ternary "github-app.pem" "github.token" (gt (int $values.github.app.id) 0)) -}}
{{- else if eq .part "notifier" -}}
{{- $files = append $files "slack.token" -}}
{{- end -}}
{{- toJson $files -}}
{{- end }}

{{/* (dict "prefix" "SLIPWAY_GATEWAY_" "settings" …): each setting as a variable; what is no text, as JSON. */}}
{{- define "slipway.settings" -}}
{{- range $name, $value := .settings }}
- name: {{ $.prefix }}{{ upper $name }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}

{{/* (dict "peers" peers "ports" (list 443)): an egress rule, to anywhere where no peers are given. */}}
{{- define "slipway.egress" -}}
- {{ with .peers -}}
  to:
    {{- toYaml . | nindent 4 }}
  {{ end -}}
  ports:
    {{- range .ports }}
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
{{- end }}
