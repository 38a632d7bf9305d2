package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"stepdown/ingest/secret"
)

const hidden = "correct-horse-battery"

func TestValueFollowsRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	s := secret.FromFile(path)
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(want+"\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Value(); err != nil || got != want {
			t.Fatalf("Value() = %q, %v; want %q", got, err, want)
		}
	}

	t.Setenv("STEPDOWN_SECRET_TEST", "third")
	if got, err := secret.FromEnv("STEPDOWN_SECRET_TEST").Value(); err != nil || got != "third" {
		t.Fatalf("Value() = %q, %v; want third", got, err)
	}
}

func TestValueNamesItsSource(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STEPDOWN_SECRET_EMPTY", "")
	for _, row := range []struct {
		name   string
		secret secret.Secret
		want   string
	}{
		{"empty file", secret.FromFile(empty), empty},
		{"missing file", secret.FromFile(filepath.Join(dir, "missing")), "missing"},
		{"unset variable", secret.FromEnv("STEPDOWN_SECRET_UNSET"), "STEPDOWN_SECRET_UNSET is not set"},
		{"empty variable", secret.FromEnv("STEPDOWN_SECRET_EMPTY"), "STEPDOWN_SECRET_EMPTY is empty"},
		{"nothing", secret.Secret{}, "none is configured"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := row.secret.Value()
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Fatalf("Value() = %q, %v; want an error with %q", got, err, row.want)
			}
		})
	}
}

func TestYAML(t *testing.T) {
	for _, row := range []struct {
		name, in string
		want     secret.Secret
		refused  bool
	}{
		{name: "file", in: "password: {file: /run/secrets/x}", want: secret.FromFile("/run/secrets/x")},
		{name: "environment", in: "password: ${KAFKA_PASSWORD}", want: secret.FromEnv("KAFKA_PASSWORD")},
		{name: "absent", in: "password:", want: secret.Secret{}},
		{name: "literal", in: "password: " + hidden, refused: true},
		{name: "number", in: "password: 123456", refused: true},
		{name: "literal around a reference", in: "password: x${A}" + hidden, refused: true},
		{name: "unknown key", in: "password: {value: " + hidden + "}", refused: true},
		{name: "more than the file", in: "password: {file: /x, value: " + hidden + "}", refused: true},
		{name: "empty path", in: "password: {file: ''}", refused: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			type config struct {
				Password secret.Secret `yaml:"password"`
			}
			var got config
			err := yaml.UnmarshalWithOptions([]byte(row.in), &got, yaml.Strict())
			if row.refused {
				if err == nil {
					t.Fatalf("decoded to %v; want an error", got.Password)
				}
				if !strings.Contains(err.Error(), "{file: PATH}") {
					t.Errorf("error %q does not say what would be right", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Password != row.want {
				t.Fatalf("got %v, want %v", got.Password, row.want)
			}

			text, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			var again config
			if err := yaml.Unmarshal(text, &again); err != nil {
				t.Fatalf("decode %q: %v", text, err)
			}
			if again != got {
				t.Fatalf("round trip by %q gave %v, want %v", text, again.Password, got.Password)
			}
		})
	}
}

func TestNothingPrintsTheValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(hidden), 0o600); err != nil {
		t.Fatal(err)
	}
	type holder struct{ Password secret.Secret }
	value := holder{secret.FromFile(path)}

	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %s %q\n", value, value, value, value.Password, value.Password)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("configured", "password", value.Password, "all", value)
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	if err := yaml.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), hidden) {
		t.Fatalf("printed the value:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "<secret file:") {
		t.Fatalf("does not say where the secret is:\n%s", out.String())
	}
}
