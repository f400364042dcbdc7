package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	kjson "sigs.k8s.io/json"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
)

const version = "ray.io/v1"

// answerTo asks everything of one object.
func answerTo(raw json.RawMessage, known *schemas) answer {
	given := answer{Refused: []string{}, Problems: []string{}, PrefixHashes: []string{}, Pods: []map[string]any{}}
	object := map[string]any{}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &object); err != nil {
		given.Error = fmt.Sprintf("no object: %v", err)
		return given
	}
	kind, _ := object["kind"].(string)
	if written := object["apiVersion"]; written != version {
		given.Error = fmt.Sprintf("apiVersion: %v is not %s", written, version)
		return given
	}
	if known.raw[kind] == nil {
		given.Error = fmt.Sprintf("kind: %s is no kind of KubeRay", kind)
		return given
	}
	admission, err := known.of(kind)
	if err == nil {
		given.Refused, err = admission.admit(object)
	}
	if err == nil {
		err = given.fill(kind, object)
		if err != nil && len(given.Refused) > 0 { // a quantity, say: the schema's check names the field, Go's type does not
			err = errors.New(given.Refused[0])
		}
	}
	if err != nil {
		given = answer{Error: err.Error()}
	}
	return given
}

// fill asks KubeRay. The object is as the API server stores it.
func (a *answer) fill(kind string, object map[string]any) error {
	switch kind {
	case "RayService":
		service := &rayv1.RayService{}
		if err := decode(object, service); err != nil {
			return err
		}
		spec := &service.Spec.RayClusterSpec
		if utils.ManagedByExternalController(service.Spec.ManagedBy) != nil { // KubeRay looks no further
			return a.hash(spec)
		}
		// controllers/ray/rayservice_controller.go: validateRayService
		a.check(func() error { return utils.ValidateRayServiceMetadata(service.ObjectMeta) })
		a.check(func() error { return utils.ValidateRayServiceSpec(service) })
		return a.describe(spec, func() (*rayv1.RayCluster, error) { return clusterOfService(service) })
	case "RayCluster":
		cluster := &rayv1.RayCluster{}
		if err := decode(object, cluster); err != nil {
			return err
		}
		if utils.ManagedByExternalController(cluster.Spec.ManagedBy) != nil {
			return a.hash(&cluster.Spec)
		}
		return a.describe(&cluster.Spec, func() (*rayv1.RayCluster, error) { return cluster, nil })
	case "RayJob":
		job := &rayv1.RayJob{}
		if err := decode(object, job); err != nil {
			return err
		}
		return a.fillJob(job)
	}
	return fmt.Errorf("kind: %s is not answered", kind)
}

func (a *answer) fillJob(job *rayv1.RayJob) error {
	spec := job.Spec.RayClusterSpec
	managed := utils.ManagedByExternalController(job.Spec.ManagedBy) != nil
	if !managed {
		// controllers/ray/rayjob_controller.go: validateRayJob
		a.check(func() error { return utils.ValidateRayJobMetadata(job.ObjectMeta) })
		a.check(func() error { return utils.ValidateRayJobSpec(job) })
	}
	if spec == nil { // it runs in a cluster that is there
		return nil
	}
	if managed {
		return a.hash(spec)
	}
	return a.describe(spec, func() (*rayv1.RayCluster, error) { return clusterOfJob(job) })
}

// describe writes the hashes of a cluster's spec and, where nothing is wrong so far, what is wrong with the cluster that
// the operator makes of it, and its pods.
func (a *answer) describe(spec *rayv1.RayClusterSpec, child func() (*rayv1.RayCluster, error)) error {
	if err := a.hash(spec); err != nil {
		return err
	}
	if len(a.Problems) > 0 || len(a.Refused) > 0 {
		return nil // there is no such cluster
	}
	var cluster *rayv1.RayCluster
	a.check(func() (err error) { cluster, err = child(); return err })
	if cluster == nil {
		return nil
	}
	// controllers/ray/raycluster_controller.go: rayClusterReconcile
	a.check(func() error { return utils.ValidateRayClusterMetadata(cluster.ObjectMeta) })
	a.check(func() error { return utils.ValidateRayClusterSpec(&cluster.Spec, cluster.Annotations) })
	a.check(func() error { return utils.ValidateRayClusterUpgradeOptions(cluster) })
	if len(a.Problems) > 0 {
		return nil
	}
	a.check(func() error {
		pods, err := podsOf(cluster)
		if err == nil {
			a.Pods = pods
		}
		return err
	})
	return nil
}

// hash writes the hash that KubeRay compares to decide about a new cluster, and that of each number of first groups: a
// group that is appended changes only the last (controllers/ray/rayservice_controller.go: isClusterSpecHashEqual).
func (a *answer) hash(spec *rayv1.RayClusterSpec) error {
	for count := range len(spec.WorkerGroupSpecs) + 1 {
		first := spec.DeepCopy()
		first.WorkerGroupSpecs = first.WorkerGroupSpecs[:count]
		hash, err := utils.GenerateHashWithoutReplicasAndWorkersToDelete(*first)
		if err != nil {
			return err
		}
		a.PrefixHashes = append(a.PrefixHashes, hash)
	}
	whole, err := utils.GenerateHashWithoutReplicasAndWorkersToDelete(*spec)
	a.Hash = whole
	return err
}

// check notes what KubeRay says. A panic of its code, which would end the operator's reconcile, is a problem as well.
func (a *answer) check(ask func() error) {
	defer func() {
		if reason := recover(); reason != nil {
			a.Problems = append(a.Problems, fmt.Sprintf("KubeRay's operator panics: %v", reason))
		}
	}()
	if err := ask(); err != nil {
		a.Problems = append(a.Problems, err.Error())
	}
}

// decode reads an object into KubeRay's type. The schema was asked before: what is left are values such as quantities.
func decode(object map[string]any, into any) error {
	written, err := json.Marshal(object)
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(written, into)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}
