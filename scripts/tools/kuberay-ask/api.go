package main

import (
	"context"
	"errors"
	"reflect"

	routev1 "github.com/openshift/api/route/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils"
	"github.com/ray-project/kuberay/ray-operator/controllers/ray/utils/dashboardclient"
)

var errEnough = errors.New("kuberay-ask has seen what it wanted")

// scheme has what the operator registers (ray-operator/main.go: init).
var scheme = runtime.NewScheme()

func init() {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(rayv1.AddToScheme(scheme))
	utilruntime.Must(routev1.Install(scheme))
}

// api stands in for the API server: it has one object, takes all that is created and remembers pods and clusters. What
// it does not implement is nil in the embedded interface, so that a reconcile that comes to need it is noticed.
type api struct {
	client.Client
	object  client.Object
	cluster *rayv1.RayCluster
	pods    []*corev1.Pod
}

func newAPI(object client.Object) *api { return &api{object: object} }

func (a *api) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if reflect.TypeOf(into) == reflect.TypeOf(a.object) && key == client.ObjectKeyFromObject(a.object) {
		reflect.ValueOf(into).Elem().Set(reflect.ValueOf(a.object.DeepCopyObject()).Elem())
		return nil
	}
	if account, ok := into.(*corev1.ServiceAccount); ok { // the head's own one is not the operator's to create
		account.Name, account.Namespace = key.Name, key.Namespace
		return nil
	}
	return apierrors.NewNotFound(runtimeschema.GroupResource{Resource: reflect.TypeOf(into).Elem().Name()}, key.Name)
}

func (a *api) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func (a *api) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	switch created := object.(type) {
	case *corev1.Pod:
		a.pods = append(a.pods, created.DeepCopy())
	case *rayv1.RayCluster:
		a.cluster = created.DeepCopy()
		return errEnough
	}
	return nil
}

func (a *api) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	if reflect.TypeOf(object) == reflect.TypeOf(a.object) {
		a.object = object.DeepCopyObject().(client.Object)
	}
	return nil
}

func (a *api) Status() client.SubResourceWriter { return noStatus{} }

func (a *api) Scheme() *runtime.Scheme { return scheme }

type noStatus struct{ client.SubResourceWriter }

func (noStatus) Update(context.Context, client.Object, ...client.SubResourceUpdateOption) error {
	return nil
}

// manager is what the constructors of KubeRay's reconcilers ask for.
type manager struct {
	ctrlmanager.Manager
	api *api
}

func (m manager) GetClient() client.Client                        { return m.api }
func (m manager) GetScheme() *runtime.Scheme                      { return scheme }
func (m manager) GetEventRecorderFor(string) record.EventRecorder { return noEvents{} }
func (m manager) GetFieldIndexer() client.FieldIndexer            { return noIndex{} }

type noIndex struct{}

func (noIndex) IndexField(context.Context, client.Object, string, client.IndexerFunc) error {
	return nil
}

type noEvents struct{}

func (noEvents) Event(runtime.Object, string, string, string)          {}
func (noEvents) Eventf(runtime.Object, string, string, string, ...any) {}
func (noEvents) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {
}

// noClients stands in for the clients of a live Ray: nothing is asked of one.
type noClients struct{}

func (noClients) GetDashboardClient(context.Context, ctrlmanager.Manager) func(*rayv1.RayCluster, string) (dashboardclient.RayDashboardClientInterface, error) {
	return func(*rayv1.RayCluster, string) (dashboardclient.RayDashboardClientInterface, error) {
		return nil, errEnough
	}
}

func (noClients) GetHttpProxyClient(ctrlmanager.Manager) func(string, string, string, int) utils.RayHttpProxyClientInterface {
	return func(string, string, string, int) utils.RayHttpProxyClientInterface { return nil }
}
