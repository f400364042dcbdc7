package main

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// A mark is a number that a build carries along: in the text of a scalar ("4" becomes "4Zq0001fqZ"), or as a key of a
// mapping. Where it comes out says what was written from there, whatever patches and replacements did on the way; a
// value that comes out without one, or not as it went in, tells nothing (rayops/render/places.py holds it against the build
// without marks).
type mark struct {
	File string            `json:"f"`
	Line int               `json:"l"`
	Keys map[string]valued `json:"k,omitempty"` // of a mapping: its fields that carry no mark
}

type valued struct {
	Line  int    `json:"l"`
	Value string `json:"v"`
}

// What names things, or by what they are found and merged, must stay as it is.
var untouched = []string{
	"apiVersion", "kind", "name", "generateName", "namespace", "groupName", "image", "key", "type", "op", "path", "from",
	"containerPort", "port", "protocol", "mountPath", "devicePath", "ip", "topologyKey", "uid", "appProtocol", "$patch",
}

var untouchedBelow = []string{"labels", "annotations", "matchLabels", "selector", "finalizers", "matchExpressions"}

// setting is a line of a kustomization that writes a field by itself, without a value that could be marked.
type setting struct {
	Kind  string `json:"kind"` // namespace, labels, annotations, image, replicas, ConfigMap, Secret
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"f"`
	Line  int    `json:"l"`
}

const attempts = 4 // the first without an error counts; each marks less (marker.may)

type marker struct {
	marks    []mark
	attempt  int
	keep     map[string]bool
	images   map[string]bool // names that an images entry looks for
	changed  map[string][]byte
	roles    map[string]string
	settings []setting
}

// may says what an attempt marks: everything; no single values of kustomizations; those of files only; mappings only.
func (m *marker) may(what string) bool {
	switch what {
	case "setting":
		return m.attempt < 1
	case "scalar":
		return m.attempt < 2
	case "mapping":
		return m.attempt != 2
	}
	return m.attempt < 3 // lines of env files, files of generators
}

func marked(asked request, folder string, done *answer) {
	for attempt := range attempts {
		m := newMarker(asked, folder, attempt)
		disk := onDisk(asked.Root, func(name string, content []byte) []byte {
			if changed, found := m.changed[name]; found {
				return changed
			}
			return content
		})
		objects, err := run(disk, folder)
		if err != nil {
			done.Error = err.Error()
			continue
		}
		done.Error, done.Objects = "", []json.RawMessage{}
		for _, object := range objects.Resources() {
			written, err := object.MarshalJSON()
			if err != nil {
				done.Error = err.Error()
				break
			}
			done.Objects = append(done.Objects, written)
		}
		if done.Error == "" {
			done.Marks, done.Settings = m.marks, m.settings
			return
		}
	}
	done.Objects, done.Marks = []json.RawMessage{}, nil
}

// newMarker changes all files of a folder. What is read later is applied later (patches after the resources, outer after
// inner), and a kustomization after all that it lists: numbers grow in that order.
func newMarker(asked request, folder string, attempt int) *marker {
	m := &marker{
		attempt: attempt, keep: map[string]bool{"": true, "true": true, "false": true}, images: map[string]bool{},
		changed: map[string][]byte{}, roles: map[string]string{},
	}
	for _, word := range asked.Keep[folder] {
		m.keep[word] = true
	}
	content, kustomizations := map[string][]byte{}, []string{}
	disk := onDisk(asked.Root, nil)
	for _, name := range asked.Files[folder] {
		read, err := disk.FileSystem.ReadFile(filepath.Join(asked.Root, name))
		if err != nil {
			continue
		}
		content[name] = read
		if isKustomization(name) {
			kustomizations = append(kustomizations, name)
			documents, _ := decode(read)
			m.assign(name, documents)
		}
	}
	for _, name := range asked.Files[folder] {
		if read, found := content[name]; found && !isKustomization(name) {
			m.file(name, read)
		}
	}
	for _, name := range slices.Backward(kustomizations) {
		m.kustomization(name, content[name])
	}
	return m
}

func (m *marker) token(file string, line int) string {
	m.marks = append(m.marks, mark{File: file, Line: line})
	return fmt.Sprintf("Zq%05xqZ", len(m.marks)-1)
}

// assign notes what the files are that a kustomization names.
func (m *marker) assign(name string, documents []*yaml.Node) {
	for _, root := range documents {
		note := func(file, role string) {
			if _, after, found := strings.Cut(file, "="); found {
				file = after
			}
			m.roles[path.Join(path.Dir(name), file)] = role
		}
		for _, list := range []string{"resources", "bases"} {
			for _, entry := range items(root, list) {
				note(entry.Value, "resource")
			}
		}
		for _, entry := range items(root, "patchesStrategicMerge") {
			note(entry.Value, "patch")
		}
		for _, list := range []string{"patches", "patchesJson6902"} {
			for _, entry := range items(root, list) {
				note(text(entry, "path"), "patch")
			}
		}
		for _, list := range []string{"configMapGenerator", "secretGenerator"} {
			for _, entry := range items(root, list) {
				for _, file := range items(entry, "files") {
					note(file.Value, "text")
				}
				for _, file := range items(entry, "envs") {
					note(file.Value, "env")
				}
				note(text(entry, "env"), "env")
			}
		}
		for _, entry := range items(root, "images") {
			m.images[text(entry, "name")] = true
		}
	}
}

func (m *marker) file(name string, content []byte) {
	switch m.roles[name] {
	case "env":
		if m.may("file") {
			m.env(name, string(content))
		}
	case "text":
		if m.may("file") {
			m.text(name, content)
		}
	case "resource", "patch":
		m.manifest(name, content)
	}
}

// env marks NAME=value lines.
func (m *marker) env(name, content string) {
	lines := strings.Split(content, "\n")
	for at, line := range lines {
		key, value, found := strings.Cut(strings.TrimSuffix(line, "\r"), "=")
		if found && !strings.HasPrefix(strings.TrimSpace(key), "#") && !m.keep[strings.TrimSpace(value)] {
			lines[at] = key + "=" + value + m.token(name, at+1)
		}
	}
	m.changed[name] = []byte(strings.Join(lines, "\n"))
}

// text marks the scalars of a YAML mapping, or else the end of the file.
func (m *marker) text(name string, content []byte) {
	if isYAML(name) {
		if documents, err := decode(content); err == nil && len(documents) == 1 && documents[0].Kind == yaml.MappingNode {
			m.node(name, 0, documents[0], nil, true)
			if written, err := encode(documents); err == nil {
				m.changed[name] = written
				return
			}
		}
	}
	m.changed[name] = append(slices.Clone(content), m.token(name, 1)...)
}

func (m *marker) manifest(name string, content []byte) {
	documents, err := decode(content)
	if err != nil {
		return
	}
	for _, document := range documents {
		if text(document, "kind") != "CustomResourceDefinition" {
			m.patch(name, 0, document)
		}
	}
	if written, err := encode(documents); err == nil {
		m.changed[name] = written
	}
}

// patch marks a resource, a patch that is merged, or the values of a JSON 6902 patch.
func (m *marker) patch(name string, offset int, root *yaml.Node) {
	if root.Kind != yaml.SequenceNode {
		m.node(name, offset, root, nil, false)
		return
	}
	for _, step := range root.Content {
		_, value := field(step, "value")
		if operation := text(step, "op"); value == nil || operation != "add" && operation != "replace" {
			continue
		}
		at := strings.Split(strings.Trim(text(step, "path"), "/"), "/")
		if value.Kind == yaml.ScalarNode {
			m.scalar(name, offset, value, at)
			continue
		}
		m.node(name, offset, value, at, false)
	}
}

// node marks a mapping or list and all below it. at: the keys above it. free: nothing merges this text.
func (m *marker) node(name string, offset int, node *yaml.Node, at []string, free bool) {
	switch node.Kind {
	case yaml.SequenceNode:
		for _, item := range node.Content {
			if item.Kind == yaml.ScalarNode {
				m.scalar(name, offset, item, at)
			} else {
				m.node(name, offset, item, at, free)
			}
		}
	case yaml.MappingNode:
		if text(node, "$patch") == "delete" || text(node, "$patch") == "replace" {
			return
		}
		own := mark{File: name, Line: offset + node.Line, Keys: map[string]valued{}}
		for index := 0; index+1 < len(node.Content); index += 2 {
			key, value := node.Content[index], node.Content[index+1]
			below := append(slices.Clone(at), key.Value)
			if value.Kind != yaml.ScalarNode {
				own.Keys[key.Value] = valued{Line: offset + key.Line}
				m.node(name, offset, value, below, free)
			} else if !m.scalar(name, offset, value, below) {
				own.Keys[key.Value] = valued{offset + value.Line, value.Value}
			}
		}
		if m.may("mapping") {
			m.marks = append(m.marks, own)
			node.Content = append(node.Content, plain(fmt.Sprintf("Zq%05xqZ", len(m.marks)-1)), plain("mark"))
		}
	}
}

func plain(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

// scalar marks a value; false where it may not be changed.
func (m *marker) scalar(name string, offset int, node *yaml.Node, at []string) bool {
	last := ""
	if len(at) > 0 {
		last = at[len(at)-1]
	}
	if !m.may("scalar") || node.ShortTag() == yaml.NodeTagNull || node.Anchor != "" || slices.Contains(untouched, last) {
		return false
	}
	if slices.ContainsFunc(at, func(key string) bool { return slices.Contains(untouchedBelow, key) }) {
		return false
	}
	if m.keep[node.Value] && node.Value != "true" && node.Value != "false" {
		return false
	}
	if last == "serveConfigV2" && node.Style == yaml.LiteralStyle {
		return m.nested(name, offset+node.Line, node)
	}
	node.Value += m.token(name, offset+node.Line)
	node.Tag = yaml.NodeTagString
	return true
}

// nested marks a document that is a block of text in another; offset: the line before its first one.
func (m *marker) nested(name string, offset int, node *yaml.Node) bool {
	documents, err := decode([]byte(node.Value))
	if err != nil || len(documents) != 1 || documents[0].Kind == yaml.ScalarNode {
		return false
	}
	m.patch(name, offset, documents[0])
	written, err := encode(documents)
	if err == nil {
		node.Value = string(written)
	}
	return err == nil
}

// kustomization marks inline patches, literals, tags, digests and counts.
func (m *marker) kustomization(name string, content []byte) {
	documents, err := decode(content)
	if err != nil || len(documents) != 1 {
		return
	}
	root := documents[0]
	m.note(name, root)
	for _, entry := range items(root, "patches") {
		if _, inline := field(entry, "patch"); inline != nil && inline.Style == yaml.LiteralStyle {
			m.nested(name, inline.Line, inline)
		}
	}
	if m.may("setting") {
		m.values(name, root)
	}
	if written, err := encode(documents); err == nil {
		m.changed[name] = written
	}
}

func (m *marker) values(name string, root *yaml.Node) {
	for _, entry := range items(root, "images") {
		for _, key := range []string{"newName", "newTag", "digest"} {
			_, value := field(entry, key)
			if value != nil && value.Value != "" && (key != "newName" || !m.images[value.Value]) {
				value.Value += m.token(name, value.Line)
				value.Tag = yaml.NodeTagString
			}
		}
	}
	for _, list := range []string{"configMapGenerator", "secretGenerator"} {
		for _, entry := range items(root, list) {
			for _, literal := range items(entry, "literals") {
				_, value, _ := strings.Cut(literal.Value, "=")
				if !m.keep[value] && literal.Kind == yaml.ScalarNode {
					literal.Value += m.token(name, literal.Line)
				}
			}
		}
	}
	for _, entry := range items(root, "replacements") {
		if _, value := field(entry, "sourceValue"); value != nil && !m.keep[value.Value] {
			value.Value += m.token(name, value.Line)
			value.Tag = yaml.NodeTagString
		}
	}
}

// note keeps what the kustomization says of whole fields.
func (m *marker) note(file string, root *yaml.Node) {
	add := func(kind, name, value string, at *yaml.Node) {
		m.settings = append(m.settings, setting{kind, name, value, file, at.Line})
	}
	if key, value := field(root, "namespace"); value != nil {
		add("namespace", "", value.Value, key)
	}
	pairs := func(kind string, node *yaml.Node) {
		if node != nil && node.Kind == yaml.MappingNode {
			for at := 0; at+1 < len(node.Content); at += 2 {
				add(kind, node.Content[at].Value, node.Content[at+1].Value, node.Content[at])
			}
		}
	}
	_, labels := field(root, "commonLabels")
	pairs("labels", labels)
	_, annotations := field(root, "commonAnnotations")
	pairs("annotations", annotations)
	for _, entry := range items(root, "labels") {
		_, labels := field(entry, "pairs")
		pairs("labels", labels)
	}
	for _, entry := range items(root, "images") {
		if name := text(entry, "newName"); name != "" {
			_, at := field(entry, "newName")
			add("image", text(entry, "name"), name, at)
		}
	}
	for _, entry := range items(root, "replicas") {
		if _, at := field(entry, "count"); at != nil {
			add("replicas", text(entry, "name"), at.Value, at)
		}
	}
	for kind, list := range map[string]string{"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"} {
		for _, entry := range items(root, list) {
			add(kind, text(entry, "name"), "", entry)
		}
	}
}
