# The kind node: Debian with systemd and containerd, the kubelet's programs, and nothing else that starts by itself.
ARG ROOTFS
FROM ${ROOTFS}
COPY node/ /
COPY bin/kubelet bin/kubeadm bin/kubectl /usr/bin/
RUN rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* \
      /lib/systemd/system/local-fs.target.wants/* /lib/systemd/system/sockets.target.wants/*udev* \
      /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/* \
      /lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
 && mkdir -p /opt/cni/bin && ln -s /usr/lib/cni/* /opt/cni/bin/ \
 && echo ReadKMsg=no >> /etc/systemd/journald.conf \
 && systemctl enable containerd.service kubelet.service \
 && systemctl mask systemd-binfmt.service getty.target console-getty.service
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]
