# A program that calls iptables and ipset, with them and their libraries and nothing else of the root file system: a whole
# one below kube-proxy costs every new cluster ten seconds of unpacking.
ARG ROOTFS
FROM ${ROOTFS} AS full
RUN mkdir /slim && cd /usr/sbin \
 && ls -d "$PWD"/iptables* "$PWD"/ip6tables* "$PWD"/ipset "$PWD"/conntrack "$PWD"/nft /usr/lib/*/xtables/*.so > /files \
 && xargs ldd < /files | grep -o '/lib[^ ]*' | sort -u > /libraries \
 && tar --create --dereference --absolute-names --files-from /files --files-from /libraries | tar --extract --absolute-names --transform 's|^|/slim|' \
 && chroot /slim /usr/sbin/iptables --version

FROM scratch
ARG PROGRAM
COPY --from=full /slim /
COPY bin/${PROGRAM} /usr/local/bin/
