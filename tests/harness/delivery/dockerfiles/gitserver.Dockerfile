ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY gitserver /usr/local/bin/gitserver
USER 65534:65534
ENTRYPOINT ["gitserver"]
