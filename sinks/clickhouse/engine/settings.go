package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// User is the name that clients of the engine sign in with.
const User = "stepdown"

// engineXML bounds memory and disk and sends the engine's log to a rotated file.
// Paths are relative to the data directory, which is the child's working directory.
const engineXML = `<clickhouse>
  <logger>
    <log>engine.log</log>
    <size>10M</size>
    <count>3</count>
  </logger>
  <max_server_memory_usage>%d</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <access_control_improvements>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
  <storage_configuration>
    <disks><default><keep_free_space_bytes>%d</keep_free_space_bytes></default></disks>
  </storage_configuration>
  <users_config>users.xml</users_config>
</clickhouse>
`

// usersXML gives the engine's own session the user default, once, and everybody
// else the user [User]. An idle connection looks once a second whether the
// engine stops, instead of every ten seconds.
const usersXML = `<clickhouse>
  <profiles>
    <default><poll_interval>1</poll_interval></default>
    <session><max_sessions_for_user>1</max_sessions_for_user></session>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>session</profile>
      <quota>default</quota>
    </default>
    <` + User + `>
      <password_sha256_hex>%x</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, KILL QUERY, dictGet ON *.*</query>
        <query>GRANT SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM FLUSH, SYSTEM VIEWS ON *.*</query>
        <query>GRANT TABLE ENGINE ON MergeTree</query>
        <query>GRANT TABLE ENGINE ON ReplacingMergeTree</query>
        <query>GRANT TABLE ENGINE ON AggregatingMergeTree</query>
        <query>GRANT TABLE ENGINE ON SummingMergeTree</query>
        <query>GRANT TABLE ENGINE ON Memory</query>
      </grants>
    </` + User + `>
  </users>
</clickhouse>
`

// passwordFile holds the password of [User], in the data directory.
const passwordFile = "password"

// writeSettings writes the engine's configuration files into dir.
func writeSettings(dir string, maxMemory, minFree int64) error {
	password, err := readPassword(filepath.Join(dir, passwordFile))
	if err != nil {
		return fmt.Errorf("prepare engine password: %w", err)
	}
	files := map[string]string{
		"engine.xml": fmt.Sprintf(engineXML, maxMemory, minFree),
		"users.xml":  fmt.Sprintf(usersXML, sha256.Sum256([]byte(password))),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write engine configuration: %w", err)
		}
	}
	return nil
}

// readPassword returns the password kept in path. It makes one when there is
// none: it stays the same over restarts, so that other programs of the same
// user can keep it in their configuration.
func readPassword(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	password := rand.Text()
	return password, os.WriteFile(path, []byte(password+"\n"), 0o600)
}
