package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
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
	written := places.written(objects.Resources())
	for at, object := range objects.Resources() {
		done.Places = append(done.Places, []any{written[at].file, written[at].line})
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
			found.Line = places.object(found.File, object)
		} else if written.ConfiguredIn != "" {
			found.File = join(folder, written.ConfiguredIn)
			found.Line = max(1, places.generator(found.File, object.GetKind(), object.GetName()))
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

// place is a line of a file; none where it takes the marked build to tell.
type place struct {
	file string
	line int
}

// written is where each object is written: the one document or generator with its kind and name. A replacement may have
// renamed it, and the library's notes of names before are gone here: then the one document of its kind that no other object
// has by name, where it is also the one object of its kind that has none.
func (places *documents) written(objects []*resource.Resource) []place {
	found := make([]place, len(objects))
	taken, lost := map[place]bool{}, map[string][]int{}
	for at, object := range objects {
		hits := places.named(object.GetKind(), object.GetName())
		for _, hit := range hits {
			taken[hit] = true
		}
		if len(hits) == 1 {
			found[at] = hits[0]
		} else {
			lost[object.GetKind()] = append(lost[object.GetKind()], at)
		}
	}
	for kind, those := range lost {
		left := slices.DeleteFunc(places.named(kind, ""), func(each place) bool { return taken[each] })
		if len(those) == 1 && len(left) == 1 {
			found[those[0]] = left[0]
		}
	}
	return found
}

// named are all places of a kind and name, "" for any name; generators have names only.
func (places *documents) named(kind, name string) (found []place) {
	for _, file := range places.resources {
		for _, document := range places.all(file) {
			_, meta := field(document, "metadata")
			if text(document, "kind") == kind && (name == "" || text(meta, "name") == name) {
				found = append(found, place{file, document.Line})
			}
		}
	}
	for _, file := range places.lists {
		if line := places.generator(file, kind, name); line > 0 {
			found = append(found, place{file, line})
		}
	}
	return found
}

// all documents of a file, and what stands in its lists.
func (places *documents) all(file string) []*yaml.Node {
	all := slices.Clone(places.of(file))
	for _, document := range places.of(file) {
		all = append(all, items(document, "items")...)
	}
	return all
}

// object's first line in a file; 1 where it is not told.
func (places *documents) object(file string, object *resource.Resource) int {
	for _, each := range places.named(object.GetKind(), object.GetName()) {
		if each.file == file {
			return each.line
		}
	}
	return 1
}

// generator's first line in a kustomization; 0 where it has none of this kind and name.
func (places *documents) generator(file, kind, name string) int {
	if kind == "" {
		return 0
	}
	for _, document := range places.of(file) {
		for _, entry := range items(document, strings.ToLower(kind[:1])+kind[1:]+"Generator") {
			if text(entry, "name") == name {
				return entry.Line
			}
		}
	}
	return 0
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
