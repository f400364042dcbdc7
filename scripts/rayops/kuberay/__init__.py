"""What KubeRay does with an object, without a cluster: its own code of the pinned version answers.

answers = ask(render(Path("overlays/prod/rag")))       # of RayServices, RayClusters and RayJobs only
answers[0].problems                                    # () or what the operator would refuse it for
answers[0].pods                                        # the pods that it would create
"""

from rayops.kuberay.asking import KINDS, Answer, ask, ask_each, is_ray
from rayops.kuberay.operator import Operator, operator_of

__all__ = ["KINDS", "Answer", "Operator", "ask", "ask_each", "is_ray", "operator_of"]
