"""The GitOps controllers on a test's cluster: images from their pinned Go modules, a Git server, and what to ask them.

images       Argo CD, Flux's kustomize-controller, the Git server: built by content, never twice
repository   this checkout as a Git repository in the cluster: change files, commit, push
argocd, flux the controllers: install, wait, read what they say, remove in the right order
"""
