# One program as an image; BASE is the root file system for those that call iptables.
ARG BASE=scratch
FROM ${BASE}
ARG PROGRAM
COPY bin/${PROGRAM} /usr/local/bin/
