// Publishes one envelope: rabbitmq QUEUE ACTOR,ACTOR ID PAYLOAD. RABBITMQ_URL says where.
package main

import (
	"context"
	"log"
	"os"
	"strings"
	"time"

	publish "asya.sh/examples/publish"
	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	queue, body := publish.FromArguments()
	connection, err := amqp.Dial(os.Getenv("RABBITMQ_URL"))
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const mandatory, immediate = true, false
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(
		ctx, "asya", strings.TrimPrefix(queue, "asya-"), mandatory, immediate,
		amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, Body: body})
	check(err)
	taken, err := confirmation.WaitContext(ctx)
	check(err)
	if !taken {
		log.Fatal("the broker did not take it")
	}
	// The broker returns a message before it confirms it.
	select {
	case back := <-returned:
		log.Fatalf("no queue is bound for %s: %s", back.RoutingKey, back.ReplyText)
	default:
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
