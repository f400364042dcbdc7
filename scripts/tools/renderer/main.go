// renderer builds many Kustomize folders in one start and says where each object comes from.
//
// Standard input: {"root": "/repo", "folders": ["overlays/a"], "mode": "render"}, mode one of
// render, chain (with origins: four times the work, see render.go) and mark (see mark.go).
// Standard output: one JSON object a line and folder, in no order (see answer). Nothing is written to the tree: what a
// build needs besides lies over the file system in memory (files.go). The library keeps its schema in global variables
// that no lock guards (kyaml/openapi), so the cores are used by processes, each with a share of the folders.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
)

type request struct {
	Root    string              `json:"root"`
	Folders []string            `json:"folders"`
	Mode    string              `json:"mode"`
	Keep    map[string][]string `json:"keep"`  // mode mark: words of a folder that must stay (names, namespaces)
	Files   map[string][]string `json:"files"` // mode mark: what a folder reads, as mode render told it
	Workers int                 `json:"workers"`
}

// answer of one folder; all paths are relative to the root.
type answer struct {
	Folder   string            `json:"folder"`
	Objects  []json.RawMessage `json:"objects"`
	Places   [][]any           `json:"places,omitempty"`   // file and line of each object; "" where it takes mode mark to tell
	Origins  []origin          `json:"origins,omitempty"`  // of each object
	Files    []string          `json:"files"`              // that were read
	Absent   []string          `json:"absent"`             // that were looked for and are not there
	Marks    []mark            `json:"marks,omitempty"`    // mode mark: what each number in the objects stands for
	Settings []setting         `json:"settings,omitempty"` // mode mark
	Error    string            `json:"error,omitempty"`
}

func main() {
	log.SetOutput(io.Discard) // the library warns of a flag that was not given
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fmt.Fprintln(os.Stderr, "renderer: the request is no JSON:", err)
		os.Exit(2)
	}
	workers := min(runtime.NumCPU(), (len(asked.Folders)+2)/3)
	if asked.Workers == 0 && workers > 1 {
		os.Exit(share(asked, workers))
	}
	// One core a process, and memory for time: each build leaves tens of MB behind.
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(1 << 30)
	out := bufio.NewWriter(os.Stdout)
	for _, folder := range asked.Folders {
		line, err := json.Marshal(build(asked, folder))
		if err != nil {
			line, _ = json.Marshal(answer{Folder: folder, Error: err.Error()})
		}
		out.Write(append(line, '\n'))
		out.Flush()
	}
}

// share gives every process a part of the folders, and passes on their answers.
func share(asked request, workers int) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "renderer:", err)
		return 2
	}
	parts := make([][]string, workers)
	for number, folder := range asked.Folders {
		parts[number%workers] = append(parts[number%workers], folder)
	}
	var group sync.WaitGroup
	var lock sync.Mutex
	code := 0
	for _, part := range parts {
		group.Add(1)
		go func() {
			defer group.Done()
			input, _ := json.Marshal(request{asked.Root, part, asked.Mode, asked.Keep, asked.Files, 1})
			child := exec.Command(self)
			child.Stdin, child.Stderr = bytes.NewReader(input), os.Stderr
			output, err := child.StdoutPipe()
			if err == nil {
				err = child.Start()
			}
			if err == nil {
				pass(output, &lock)
				err = child.Wait()
			}
			if err != nil {
				lock.Lock()
				code = 1
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	return code
}

func pass(output io.Reader, lock *sync.Mutex) {
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		lock.Lock()
		os.Stdout.Write(line)
		lock.Unlock()
	}
}
