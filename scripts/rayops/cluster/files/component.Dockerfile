# One static program as an image.
ARG ROOTFS
FROM scratch
ARG PROGRAM
COPY bin/${PROGRAM} /usr/local/bin/
