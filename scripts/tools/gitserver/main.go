// A Git server for tests, without users: smart HTTP by git's own http-backend at /REPO.git, and commits as archives at
// /artifact/REPO/SHA.tar.gz, the form in which Flux's controllers fetch a source. Arguments: a folder, then repositories.
package main

import (
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

var artifact = regexp.MustCompile(`^/artifact/([a-z0-9-]+)/([0-9a-f]{40})\.tar\.gz$`)

func main() {
	root := os.Args[1]
	for _, name := range os.Args[2:] {
		run := exec.Command("git", "init", "--quiet", "--bare", "--initial-branch=main", filepath.Join(root, name+".git"))
		if output, err := run.CombinedOutput(); err != nil {
			log.Fatalf("git init %s: %v %s", name, err, output)
		}
	}
	// Everybody may push: the server lives in a test's cluster and is gone with it.
	settings := []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=http.receivepack", "GIT_CONFIG_VALUE_0=true"}
	http.Handle("/", &cgi.Handler{Path: "/usr/lib/git-core/git-http-backend", Env: settings})
	http.HandleFunc("/artifact/", func(answer http.ResponseWriter, request *http.Request) {
		found := artifact.FindStringSubmatch(request.URL.Path)
		if found == nil {
			http.NotFound(answer, request)
			return
		}
		archive := exec.Command("git", "-C", filepath.Join(root, found[1]+".git"), "archive", "--format=tar.gz", found[2])
		output, err := archive.Output()
		if err != nil {
			http.Error(answer, "no such commit", http.StatusNotFound)
			return
		}
		answer.Header().Set("Content-Type", "application/gzip")
		_, _ = answer.Write(output)
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
