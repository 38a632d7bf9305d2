package secret

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
)

// maxFileSize bounds what Value reads: a secret is a token or a key, and a
// path that names something larger is a mistake.
const maxFileSize = 1 << 20

// Secret is a reference to a secret value. The zero value refers to nothing.
//
// In YAML it is written as one of
//
//	password: {file: /run/secrets/kafka}
//	password: ${KAFKA_PASSWORD}
//
// Secrets are comparable; two are equal when they refer to the same place.
type Secret struct {
	file string
	env  string
}

// FromFile returns the secret kept in the file at path.
func FromFile(path string) Secret { return Secret{file: path} }

// FromEnv returns the secret kept in the environment variable name.
func FromEnv(name string) Secret { return Secret{env: name} }

// IsZero reports whether s refers to nothing.
func (s Secret) IsZero() bool { return s == Secret{} }

// Value reads the secret where it is kept. Line ends at the end of a file are
// not part of the value. The error names the file or variable, never the
// value; an unset, unreadable or empty secret is an error.
func (s Secret) Value() (string, error) {
	switch {
	case s.file != "":
		value, err := readFile(s.file)
		if err != nil {
			return "", fmt.Errorf("read secret: %w", err)
		}
		value = strings.TrimRight(value, "\r\n")
		if value == "" {
			return "", fmt.Errorf("read secret: file %s is empty", s.file)
		}
		return value, nil
	case s.env != "":
		value, ok := os.LookupEnv(s.env)
		if !ok {
			return "", fmt.Errorf("read secret: environment variable %s is not set", s.env)
		}
		if value == "" {
			return "", fmt.Errorf("read secret: environment variable %s is empty", s.env)
		}
		return value, nil
	}
	return "", errors.New("read secret: none is configured; set {file: PATH} or ${ENV_NAME}")
}

func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxFileSize {
		return "", fmt.Errorf("file %s has %d bytes, more than the %d of a secret", path, info.Size(), maxFileSize)
	}
	data, err := os.ReadFile(path)
	return string(data), err
}

// Origin returns the YAML form of s: it says where the secret is kept, is safe
// to print, and decodes to an equal Secret. It is nil for the zero value.
func (s Secret) Origin() any {
	switch {
	case s.file != "":
		return origin{File: s.file}
	case s.env != "":
		return "${" + s.env + "}"
	}
	return nil
}

type origin struct {
	File string `yaml:"file"`
}

// String returns where the secret is kept, never its value.
func (s Secret) String() string {
	switch {
	case s.file != "":
		return "<secret file:" + s.file + ">"
	case s.env != "":
		return "<secret env:" + s.env + ">"
	}
	return "<secret unset>"
}

// GoString keeps %#v as safe as %v.
func (s Secret) GoString() string { return s.String() }

// LogValue keeps slog output as safe as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON and text encodings as safe as String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML encodes the origin, so that a printed configuration can be used
// again.
func (s Secret) MarshalYAML() (any, error) { return s.Origin(), nil }

var envReference = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// UnmarshalYAML accepts {file: PATH} and the scalar ${ENV_NAME}. Anything else
// is refused with an error that does not repeat what was written, because it
// may be a secret.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var node any
	if err := unmarshal(&node); err != nil {
		return err
	}
	switch node := node.(type) {
	case nil:
		*s = Secret{}
		return nil
	case string:
		match := envReference.FindStringSubmatch(node)
		if match == nil {
			return errForm
		}
		*s = FromEnv(match[1])
		return nil
	case map[string]any:
		path, ok := node["file"].(string)
		if !ok || path == "" || len(node) != 1 {
			return errForm
		}
		*s = FromFile(path)
		return nil
	}
	return errForm
}

var errForm = errors.New("a secret is not written into the configuration: " +
	"put it in a file and write {file: PATH}, or in the environment and write ${ENV_NAME}")
