package record

import "testing"

// The right sides are what Jackson 2's ObjectMapper.readTree and writeValueAsString, or asText, give.
func TestAppendBody(t *testing.T) {
	for in, want := range map[string]string{
		`{ "b" : 1 , "a":[ true,null ] }`:          `{"b":1,"a":[true,null]}`,
		`{"n":[1.50,1e0,-0,-0.0,10000000.0,1E-4]}`: `{"n":[1.5,1.0,0,-0.0,1.0E7,1.0E-4]}`,
		`{"big":123456789012345678901234567890}`:   `{"big":123456789012345678901234567890}`,
		`{"huge":1e999}`:                           `{"huge":"Infinity"}`,
		`{"s":"\u00e9\u2028\u007f\/\"\\"}`:         "{\"s\":\"é\u2028\u007f/\\\"\\\\\"}",
		`{"c":"\b\t\n\f\r\u0001\u001f"}`:           `{"c":"\b\t\n\f\r\u0001\u001F"}`,
		`{"k\"":"\ud83c\udf89"}`:                   `{"k\"":"🎉"}`,
		`{}`:                                       `{}`,
		`"text"`:                                   `text`,
		`12.0`:                                     `12.0`,
		`true`:                                     `true`,
		`null`:                                     `null`,
		`[1, {"a": 2}]`:                            `[1,{"a":2}]`,
	} {
		v, err := Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendBody(nil, &v)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
