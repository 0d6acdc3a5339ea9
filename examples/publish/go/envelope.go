// Package publish holds what both programs send.
package publish

import (
	"encoding/json"
	"log"
	"os"
	"strings"
)

// Envelope is one message: the actors to visit, in order, and what the first one gets.
type Envelope struct {
	ID      string          `json:"id"`
	Route   Route           `json:"route"`
	Payload json.RawMessage `json:"payload"`
}

// Route says where an envelope goes.
type Route struct {
	Actors  []string `json:"actors"`
	Current int      `json:"current"`
}

// FromArguments reads QUEUE ACTOR,ACTOR ID PAYLOAD.
func FromArguments() (queue string, body []byte) {
	if len(os.Args) != 5 {
		log.Fatal("arguments: QUEUE ACTOR,ACTOR ID PAYLOAD")
	}
	envelope := Envelope{os.Args[3], Route{Actors: strings.Split(os.Args[2], ",")}, json.RawMessage(os.Args[4])}
	body, err := json.Marshal(envelope)
	if err != nil {
		log.Fatal(err)
	}
	return os.Args[1], body
}
