package sinks_test

import (
	"testing"
	"time"
	"unicode/utf8"

	"stepdown/detect/alert"
	"stepdown/ingest/event"
	"stepdown/sinks"
)

func TestClean(t *testing.T) {
	for _, row := range []struct{ name, in, want string }{
		{"plain", "Chrome on Windows", "Chrome on Windows"},
		{"scripts and emoji", "Zoë 山田 Иван 🔑 é", "Zoë 山田 Иван 🔑 é"},
		{"escape sequence", "\x1b[2J\x1b]0;pwned\a", `\x1b[2J\x1b]0;pwned\x07`},
		{"C1 control", "a\u009b31m", `a\u009b31m`},
		{"line ends", "a\r\nb\tc\u2028d", "a  b c d"},
		{"carriage return hides the line", "HIGH\rok  ", "HIGH ok  "},
		{"right-to-left override", "\u202egpj.exe", `\u202egpj.exe`},
		{"invisible", "a\u200bb\ufeffc\u00ad\u3164", `a\u200bb\ufeffc\u00ad\u3164`},
		{"tag characters", "a\U000e0041", `a\U000e0041`},
		{"invalid UTF-8", "a\xffb", `a\xffb`},
		{"a real replacement character", "a\ufffdb", "a\ufffdb"},
		{"backspace and delete", "a\b\x7f", `a\x08\x7f`},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := sinks.Clean(row.in); got != row.want {
				t.Errorf("Clean(%q) = %q, want %q", row.in, got, row.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := sinks.Clean(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) = %q is no UTF-8", s, got)
		}
		for _, r := range got {
			if r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e {
				t.Fatalf("Clean(%q) = %q keeps %U", s, got, r)
			}
		}
		if again := sinks.Clean(got); again != got {
			t.Fatalf("Clean is not stable: %q, then %q", got, again)
		}
	})
}

func TestCut(t *testing.T) {
	for _, row := range []struct {
		name, in string
		n        int
		want     string
	}{
		{"short", "abc", 3, "abc"},
		{"long", "abcd", 3, "ab…"},
		{"runes", "äöü", 3, "äöü"},
		{"long runes", "äöüß", 3, "äö…"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := sinks.Cut(row.in, row.n); got != row.want {
				t.Errorf("Cut(%q, %d) = %q, want %q", row.in, row.n, got, row.want)
			}
		})
	}
}

func TestEveryMethodAndReasonHasWords(t *testing.T) {
	seen := map[string]event.Method{}
	for _, m := range event.Methods() {
		w := sinks.MethodWords(m)
		if other, ok := seen[w]; w == "" || ok {
			t.Errorf("MethodWords(%s) = %q, also of %q", m, w, other)
		}
		seen[w] = m
	}
	for _, r := range alert.Reasons() {
		if w := sinks.ReasonWords(r); (w == "not clear") != (r == alert.ReasonUnknown) {
			t.Errorf("ReasonWords(%s) = %q", r, w)
		}
	}
}

func TestDurationWords(t *testing.T) {
	for _, row := range []struct {
		in   time.Duration
		want string
	}{
		{0, "0 s"}, {41 * time.Second, "41 s"}, {22 * time.Minute, "22 min"}, {62 * time.Second, "1 min 2 s"},
		{3*time.Hour + 5*time.Minute + time.Second, "3 h 5 min"}, {52 * time.Hour, "2 d 4 h"},
	} {
		t.Run(row.want, func(t *testing.T) {
			if got := sinks.DurationWords(row.in); got != row.want {
				t.Errorf("DurationWords(%s) = %q, want %q", row.in, got, row.want)
			}
		})
	}
}

func TestSeenForgetsTheOldest(t *testing.T) {
	s := sinks.NewSeen(2)
	s.Add("a", 1)
	s.Add("b", 3)
	s.Add("b", 2) // a lower revision takes nothing back
	if !s.Has("a", 1) || s.Has("a", 2) || !s.Has("b", 3) || s.Has("b", 4) || s.Holds("c") {
		t.Fatal("Seen does not remember what was added")
	}
	s.Add("c", 1)
	if s.Holds("a") || !s.Holds("b") || !s.Holds("c") {
		t.Error("a third alert in a memory of two must push out the first")
	}
}
