package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

const (
	originAnnotations      = "originAnnotations"
	transformerAnnotations = "transformerAnnotations"
)

// origin of an object: the file that writes it, and those that transformed it, in that order, as kustomize's buildMetadata
// says. The library notes every transformer at every object and reads all notes again for each: four times the work of
// the build itself for this repository, so only mode chain asks for it.
type origin struct {
	File  string   `json:"file"`
	Line  int      `json:"line"`
	Chain []string `json:"chain"` // "PatchTransformer base/components/x/kustomization.yaml"
}

// build renders a folder. A panic of the library is an error like any other.
func build(asked request, folder string) (done answer) {
	done = answer{Folder: folder, Objects: []json.RawMessage{}, Files: []string{}, Absent: []string{}}
	defer func() {
		if fault := recover(); fault != nil {
			done.Objects, done.Error = []json.RawMessage{}, fmt.Sprintf("kustomize: %v", fault)
		}
	}()
	if asked.Mode == "mark" {
		marked(asked, folder, &done)
		return done
	}
	own := metadata{}
	disk := onDisk(asked.Root, nil)
	disk.change = func(name string, content []byte) []byte {
		if asked.Mode == "chain" && isKustomization(name) && filepath.Dir(name) == filepath.Clean(folder) {
			return own.ask(content)
		}
		return content
	}
	objects, err := run(disk, folder)
	done.Files, done.Absent = append(done.Files, disk.read...), append(done.Absent, disk.absent...)
	if err != nil {
		done.Error = explain(disk, err)
		return done
	}
	places := newDocuments(disk)
	kinds := map[string]int{}
	for _, object := range objects.Resources() {
		kinds[object.GetKind()]++
	}
	for _, object := range objects.Resources() {
		file, line := places.written(object, kinds[object.GetKind()] == 1)
		done.Places = append(done.Places, []any{file, line})
		if asked.Mode == "chain" {
			done.Origins = append(done.Origins, originOf(object, folder, places))
			if err := own.clean(object); err != nil {
				done.Error = err.Error()
				return done
			}
		}
		written, err := object.MarshalJSON()
		if err != nil {
			done.Error = err.Error()
			return done
		}
		done.Objects = append(done.Objects, written)
	}
	return done
}

// run is `kustomize build FOLDER` without options (kustomize/v5/commands/build/build.go, HonorKustomizeFlags).
func run(disk *files, folder string) (resmap.ResMap, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	return krusty.MakeKustomizer(options).Run(disk, filepath.Join(disk.root, folder))
}

// metadata remembers what a kustomization asked for by itself: that stays in the objects.
type metadata struct{ origins, transformers bool }

// ask adds both annotations to the file's buildMetadata.
func (own *metadata) ask(content []byte) []byte {
	documents, err := decode(content)
	if err != nil || len(documents) != 1 || documents[0].Kind != yaml.MappingNode {
		return content // the library says what is wrong
	}
	root := documents[0]
	_, list := field(root, "buildMetadata")
	if list == nil {
		list = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "buildMetadata"}, list)
	}
	if list.Kind != yaml.SequenceNode {
		return content
	}
	for _, item := range list.Content {
		own.origins = own.origins || item.Value == originAnnotations
		own.transformers = own.transformers || item.Value == transformerAnnotations
	}
	for _, name := range []string{originAnnotations, transformerAnnotations} {
		list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name})
	}
	written, err := encode(documents)
	if err != nil {
		return content
	}
	return written
}

func (own *metadata) clean(object *resource.Resource) error {
	if !own.origins {
		if err := object.SetOrigin(nil); err != nil {
			return err
		}
	}
	if own.transformers {
		return nil
	}
	return object.ClearTransformations()
}

func originOf(object *resource.Resource, folder string, places *documents) origin {
	found := origin{Chain: []string{}}
	if written, err := object.GetOrigin(); err == nil && written != nil && written.Repo == "" {
		if written.Path != "" {
			found.File = join(folder, written.Path)
			found.Line = max(1, places.object(found.File, object, false))
		} else if written.ConfiguredIn != "" {
			found.File = join(folder, written.ConfiguredIn)
			found.Line = max(1, places.generator(found.File, object))
		}
	}
	if steps, err := object.GetTransformations(); err == nil {
		for _, step := range steps {
			file := step.ConfiguredIn
			if file == "" {
				file = step.Path
			}
			found.Chain = append(found.Chain, strings.TrimSpace(step.ConfiguredBy.Kind+" "+join(folder, file)))
		}
	}
	return found
}

func join(folder, path string) string { return filepath.ToSlash(filepath.Join(folder, path)) }

// documents finds where the objects of one build are written.
type documents struct {
	disk      *files
	resources []string // files that a kustomization lists as such, no patches
	lists     []string // kustomizations
}

// One file is parsed once for all folders of a process.
var parsed = map[string][]*yaml.Node{}

func newDocuments(disk *files) *documents {
	places := &documents{disk: disk}
	roles := &marker{roles: map[string]string{}, images: map[string]bool{}}
	for _, name := range disk.read {
		if isKustomization(name) {
			places.lists = append(places.lists, name)
			roles.assign(name, places.of(name))
		}
	}
	for _, name := range disk.read {
		if roles.roles[name] == "resource" {
			places.resources = append(places.resources, name)
		}
	}
	return places
}

func (places *documents) of(file string) []*yaml.Node {
	if _, found := parsed[file]; !found {
		content, err := places.disk.FileSystem.ReadFile(filepath.Join(places.disk.root, file))
		if err == nil {
			parsed[file], _ = decode(content)
		}
	}
	return parsed[file]
}

// written is the one place that has the object by kind and name, or, where a replacement has renamed it, by a kind of which
// there is one object and one document; "" where there are several, or none. (Names before a rename are gone here: the
// library has removed its notes.)
func (places *documents) written(object *resource.Resource, alone bool) (file string, line int) {
	hits := 0
	note := func(name string, at int) {
		if at != 0 {
			file, line, hits = name, at, hits+1
		}
	}
	for _, name := range places.resources {
		note(name, places.object(name, object, false))
	}
	for _, name := range places.lists {
		note(name, places.generator(name, object))
	}
	if hits == 0 && alone {
		for _, name := range places.resources {
			note(name, places.object(name, object, true))
		}
	}
	if hits != 1 || line < 1 {
		return "", 0
	}
	return file, line
}

// object's first line in a file, by kind and name or by kind alone; 0 where the file does not have it, -1 for several.
func (places *documents) object(file string, object *resource.Resource, kind bool) (line int) {
	wanted := object.OrgId()
	all := places.of(file)
	for _, document := range all {
		all = append(all, items(document, "items")...)
	}
	for _, document := range all {
		_, meta := field(document, "metadata")
		if text(document, "kind") != wanted.Kind || !kind && text(meta, "name") != wanted.Name {
			continue
		}
		if line > 0 {
			return -1
		}
		line = document.Line
	}
	return line
}

func (places *documents) generator(file string, object *resource.Resource) (line int) {
	for _, document := range places.of(file) {
		for _, entry := range items(document, strings.ToLower(object.GetKind()[:1])+object.GetKind()[1:]+"Generator") {
			if text(entry, "name") == object.OrgId().Name && line == 0 {
				line = entry.Line
			}
		}
	}
	return line
}

var yamlLine = regexp.MustCompile(`yaml: (?:line (\d+): )?(.*)`)

// explain gives the message of a build; where a file is no YAML, its name and line.
func explain(disk *files, err error) string {
	if disk.fault != nil {
		return disk.fault.Error()
	}
	for _, name := range disk.read {
		if !isYAML(name) {
			continue
		}
		content, fault := disk.FileSystem.ReadFile(filepath.Join(disk.root, name))
		if fault == nil {
			_, fault = decode(content)
		}
		if fault == nil {
			continue
		}
		if parts := yamlLine.FindStringSubmatch(fault.Error()); parts != nil {
			line := parts[1]
			if line == "" {
				line = "1"
			}
			return fmt.Sprintf("%s:%s: no YAML: %s", name, line, parts[2])
		}
		return fmt.Sprintf("%s:1: no YAML: %s", name, fault)
	}
	return strings.ReplaceAll(err.Error(), disk.root+string(filepath.Separator), "")
}
