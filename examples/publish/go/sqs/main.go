// Publishes one envelope: sqs QUEUE ACTOR,ACTOR ID PAYLOAD. AWS_ENDPOINT_URL_SQS if it is not AWS.
package main

import (
	"context"
	"log"
	"time"

	publish "asya.sh/examples/publish"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func main() {
	queue, body := publish.FromArguments()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	settings, err := config.LoadDefaultConfig(ctx)
	check(err)
	client := sqs.NewFromConfig(settings)
	found, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &queue})
	check(err)
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: found.QueueUrl, MessageBody: aws.String(string(body))})
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
