package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
)

// What is random in a live cluster: the end of a child's name, and UIDs.
const (
	suffix = "-xxxxx"
	uid    = types.UID("00000000-0000-0000-0000-000000000000")
)

// clusterOfService is the RayCluster that KubeRay creates for a RayService: its own reconcile makes it.
func clusterOfService(service *rayv1.RayService) (*rayv1.RayCluster, error) {
	instance := service.DeepCopy()
	instance.UID = uid
	instance.Finalizers = append(instance.Finalizers, utils.RayServiceFinalizer)
	instance.Status.PendingServiceStatus.RayClusterName = instance.Name + suffix
	api := newAPI(instance)
	reconciler := ray.NewRayServiceReconciler(context.Background(), manager{api: api}, noClients{})
	_, err := reconciler.Reconcile(context.Background(), requestFor(instance))
	return api.createdCluster(err)
}

// clusterOfJob is the RayCluster that KubeRay creates for a RayJob, with the submitter in it in SidecarMode.
func clusterOfJob(job *rayv1.RayJob) (*rayv1.RayCluster, error) {
	instance := job.DeepCopy()
	instance.UID = uid
	instance.Spec.Suspend = false // the pods are those of a job that runs
	instance.Status.JobDeploymentStatus = rayv1.JobDeploymentStatusInitializing
	instance.Status.StartTime = ptr.To(metav1.Now())
	instance.Status.RayClusterName = instance.Name + suffix
	instance.Status.JobId = instance.Name + suffix
	if instance.Spec.JobId != "" {
		instance.Status.JobId = instance.Spec.JobId
	}
	api := newAPI(instance)
	reconciler := ray.NewRayJobReconciler(context.Background(), manager{api: api}, ray.RayJobReconcilerOptions{}, noClients{})
	_, err := reconciler.Reconcile(context.Background(), requestFor(instance))
	return api.createdCluster(err)
}

// podsOf are the pods that KubeRay's reconcile creates for a cluster with one replica of each worker group.
func podsOf(cluster *rayv1.RayCluster) ([]map[string]any, error) {
	instance := cluster.DeepCopy()
	instance.UID = uid
	instance.Spec.Suspend = nil
	for i := range instance.Spec.WorkerGroupSpecs {
		group := &instance.Spec.WorkerGroupSpecs[i]
		group.Replicas, group.MinReplicas, group.MaxReplicas = ptr.To[int32](1), ptr.To[int32](1), ptr.To[int32](1)
		group.ScaleStrategy.WorkersToDelete = nil
		group.Suspend = nil
	}
	utilrand.Seed(1) // names of multi-host replicas
	api := newAPI(instance)
	reconciler := ray.NewReconciler(context.Background(), manager{api: api}, ray.RayClusterReconcilerOptions{})
	var err error
	for range 3 { // the first may only add the finalizer of GCS fault tolerance
		if _, err = reconciler.Reconcile(context.Background(), requestFor(instance)); len(api.pods) > 0 {
			break
		}
	}
	if len(api.pods) == 0 {
		if err == nil {
			err = errors.New("KubeRay creates no pods for it")
		}
		return nil, err
	}
	pods := make([]map[string]any, 0, len(api.pods))
	for _, pod := range api.pods {
		written, err := plain(pod)
		if err != nil {
			return nil, err
		}
		pods = append(pods, written)
	}
	return pods, nil
}

// plain is a pod as it would be written by hand: its generated name without the random end, no owner, no status.
func plain(pod *corev1.Pod) (map[string]any, error) {
	pod.APIVersion, pod.Kind = "v1", "Pod"
	if pod.Name == "" {
		pod.Name, pod.GenerateName = strings.TrimSuffix(pod.GenerateName, "-"), ""
	}
	pod.OwnerReferences = nil
	text, err := json.Marshal(pod)
	if err != nil {
		return nil, err
	}
	written := map[string]any{}
	if err := json.Unmarshal(text, &written); err != nil {
		return nil, err
	}
	delete(written, "status")
	return written, nil
}

func requestFor(object client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(object)}
}

// createdCluster is the cluster that was created; err is why there is none.
func (a *api) createdCluster(err error) (*rayv1.RayCluster, error) {
	if a.cluster == nil {
		if err == nil {
			return nil, fmt.Errorf("KubeRay creates no RayCluster for it")
		}
		return nil, err
	}
	return a.cluster, nil
}
