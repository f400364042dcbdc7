package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Larger files are no manifests; aliases may stand for that many nodes. Both keep time and memory bounded.
const (
	maxBytes = 8 << 20
	maxNodes = 1_000_000
)

// files is the disk seen through what a build changes in memory; it remembers what was asked for.
type files struct {
	filesys.FileSystem
	root   string
	read   []string
	absent []string
	change func(path string, content []byte) []byte
	fault  error // of a file that was refused, for a message with its name
}

func onDisk(root string, change func(string, []byte) []byte) *files {
	return &files{FileSystem: filesys.MakeFsOnDisk(), root: root, change: change}
}

// relative to the root, as people and caches name it.
func (fs *files) relative(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(fs.root, absolute); err == nil {
		return filepath.ToSlash(short)
	}
	return absolute
}

func (fs *files) ReadFile(path string) ([]byte, error) {
	name := fs.relative(path)
	if info, err := os.Stat(path); err == nil && info.Size() > maxBytes {
		fs.fault = fmt.Errorf("%s:1: %d MiB are too large for a manifest, at most %d MiB", name, info.Size()>>20, maxBytes>>20)
		return nil, fs.fault
	}
	content, err := fs.FileSystem.ReadFile(path)
	if err != nil {
		fs.missing(name)
		return nil, err
	}
	if !slices.Contains(fs.read, name) {
		fs.read = append(fs.read, name)
		if err := aliases(name, content); err != nil {
			fs.fault = err
			return nil, err
		}
	}
	return fs.change(name, content), nil
}

// CleanedAbs is where a load with restrictions first asks whether a file is there.
func (fs *files) CleanedAbs(path string) (filesys.ConfirmedDir, string, error) {
	folder, file, err := fs.FileSystem.CleanedAbs(path)
	if err != nil {
		fs.missing(fs.relative(path))
	}
	return folder, file, err
}

func (fs *files) missing(name string) {
	if !slices.Contains(fs.absent, name) {
		fs.absent = append(fs.absent, name)
	}
}

// aliases refuses a document whose aliases stand for too much ("billion laughs").
func aliases(name string, content []byte) error {
	if !bytes.Contains(content, []byte("&")) || bytes.Count(content, []byte("*")) < 8 {
		return nil
	}
	documents, _ := decode(content)
	for _, document := range documents {
		if size(document, map[*yaml.Node]int{}) > maxNodes {
			return fmt.Errorf("%s:%d: its aliases stand for more than %d nodes", name, document.Line, maxNodes)
		}
	}
	return nil
}

func size(node *yaml.Node, known map[*yaml.Node]int) int {
	if count, found := known[node]; found {
		return count
	}
	known[node] = 1
	count := 1
	if node.Alias != nil {
		count += size(node.Alias, known)
	}
	for _, child := range node.Content {
		count = min(count+size(child, known), 2*maxNodes)
	}
	known[node] = count
	return count
}

func isYAML(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) || isKustomization(name)
}

func isKustomization(name string) bool {
	return slices.Contains([]string{"kustomization.yaml", "kustomization.yml", "Kustomization"}, filepath.Base(name))
}

// decode returns the documents of a file with line numbers of the file; what comes before an error, and the error.
func decode(content []byte) (documents []*yaml.Node, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%v", fault)
		}
	}()
	decoder := yaml.NewDecoder(strings.NewReader(string(content)))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); err != nil {
			if err.Error() == "EOF" {
				return documents, nil
			}
			return documents, err
		}
		if len(node.Content) > 0 {
			documents = append(documents, node.Content[0])
		}
	}
}

func encode(documents []*yaml.Node) ([]byte, error) {
	var text strings.Builder
	encoder := yaml.NewEncoder(&text)
	for _, document := range documents {
		if err := encoder.Encode(document); err != nil {
			return nil, err
		}
	}
	err := encoder.Close()
	return []byte(text.String()), err
}

// field of a mapping: its key and value, nil where it is not there.
func field(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for at := 0; at+1 < len(node.Content); at += 2 {
		if node.Content[at].Value == name {
			return node.Content[at], node.Content[at+1]
		}
	}
	return nil, nil
}

func text(node *yaml.Node, name string) string {
	if _, value := field(node, name); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

func items(node *yaml.Node, name string) []*yaml.Node {
	if _, value := field(node, name); value != nil && value.Kind == yaml.SequenceNode {
		return value.Content
	}
	return nil
}
