# Argo CD's program with what its repo server calls: git, its own wrapper of `git verify-commit` (even where nothing is to be
# verified), kustomize, helm; and the Redis that keeps its cache.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY argocd git-verify-wrapper.sh kustomize helm /usr/local/bin/
USER 999:999
ENTRYPOINT ["argocd"]
