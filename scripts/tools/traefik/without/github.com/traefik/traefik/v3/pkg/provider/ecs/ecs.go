// Package ecs takes the place of Traefik's provider of Amazon ECS, whose SDK takes a quarter of the whole build.
package ecs

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

var errWithout = errors.New("built without the provider of Amazon ECS")

// Provider has no settings.
type Provider struct{}

// Init refuses.
func (*Provider) Init() error { return errWithout }

// Provide refuses.
func (*Provider) Provide(chan<- dynamic.Message, *safe.Pool) error { return errWithout }
