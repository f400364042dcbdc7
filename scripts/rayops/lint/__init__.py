"""rayops lint: rules over rendered objects of Ray's kinds and the Kustomize folders that they come from.

Rules: schema (CRD, Serve config, KubeRay's own validation), fit (does it fit the pods), safety (gaps, images, secrets,
rights), kustomize (what a build silently loses).
"""

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import all_rules, check, findings
from rayops.lint.view import Container, Deployment, Group, Ray

__all__ = ["Container", "Context", "Deployment", "Finding", "Group", "Ray", "Rule", "all_rules", "check", "findings"]
