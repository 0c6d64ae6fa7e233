{{/* Labels of all objects. */}}
{{- define "proxy.labels" -}}
{{- merge (dict "app.kubernetes.io/name" "proxy") .Values.labels | toYaml }}
{{- end }}

{{/* Data of the ConfigMap. */}}
{{- define "proxy.data" -}}
{{- if hasKey .Values.configuration "mode" }}{{ fail "configuration.mode: set mode instead" }}{{ end }}
{{- $fixed := dict
  "apiVersion" "kubeproxy.config.k8s.io/v1alpha1"
  "kind" "KubeProxyConfiguration"
  "mode" .Values.mode
  "clientConnection" (dict "kubeconfig" "/var/lib/kube-proxy/kubeconfig.conf")
}}
{{- if .Values.exposeMetrics }}
{{- if hasKey .Values.configuration "metricsBindAddress" }}{{ fail "exposeMetrics: sets configuration.metricsBindAddress itself" }}{{ end }}
{{- $fixed = merge $fixed (dict "metricsBindAddress" "0.0.0.0:10249") }}
{{- end }}
config.conf: |
  {{- merge $fixed (deepCopy .Values.configuration) | toYaml | nindent 2 }}
kubeconfig.conf: |
  apiVersion: v1
  kind: Config
  clusters:
    - name: default
      cluster:
        certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
        server: {{ required "apiServer: must be the address of the API server, such as https://192.0.2.1:6443" .Values.apiServer }}
  contexts:
    - name: default
      context: { cluster: default, namespace: default, user: default }
  current-context: default
  users:
    - name: default
      user:
        tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end }}

{{/*
Name of the ConfigMap. It contains a hash of the content, so that a changed configuration rolls the DaemonSet, and pods
that are not yet replaced keep theirs.
*/}}
{{- define "proxy.configMap" -}}
{{- if .Values.existingConfigMap }}
{{- .Values.existingConfigMap }}
{{- else }}
{{- include "proxy.data" . | sha256sum | trunc 10 | printf "proxy-%s" }}
{{- end }}
{{- end }}

{{- define "proxy.image" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{/* Arguments of the proxy, and of the init container node-settings. */}}
{{- define "proxy.args" -}}
- --config=/var/lib/kube-proxy/config.conf
- --hostname-override=$(NODE_NAME)
{{- if eq .Values.mode "ebpf" }}
- --ebpf-cgroup=/host/cgroup
{{- end }}
{{- if .Values.existingConfigMap }}
- --proxy-mode={{ .Values.mode }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "proxy.env" -}}
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
{{- end }}

{{- define "proxy.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
{{- if eq .Values.mode "ebpf" }}
# SYS_ADMIN: ends the sockets whose endpoint is gone, in every network namespace of /run/netns.
capabilities: { drop: [ALL], add: [NET_ADMIN, BPF, PERFMON, SYS_ADMIN] }
{{- else }}
{{- $add := list "NET_ADMIN" }}
{{- /* Passes ICMP errors on to clients of UDP services. */}}
{{- if eq .Values.mode "userspace" }}{{ $add = append $add "NET_RAW" }}{{ end }}
{{- if .Values.afterEbpf }}{{ $add = append $add "BPF" }}{{ end }}
capabilities: { drop: [ALL], add: [{{ join ", " $add }}] }
{{- end }}
{{- end }}

{{- define "proxy.volumeMounts" -}}
- { name: config, mountPath: /var/lib/kube-proxy, readOnly: true }
# Mode ebpf pins its programs there. The other modes remove them when they follow it.
- { name: bpffs, mountPath: /sys/fs/bpf }
{{- if eq .Values.mode "ebpf" }}
- { name: cgroup, mountPath: /host/cgroup, readOnly: true }
- { name: netns, mountPath: /run/netns, readOnly: true, mountPropagation: HostToContainer }
{{- end }}
{{- end }}
