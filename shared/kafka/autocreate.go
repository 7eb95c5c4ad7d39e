package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// autoCreateWait is how long a topic that a broker was asked for may take to appear. The request's own answer does not
// tell: a KRaft broker calls the topic unknown while it creates it.
const autoCreateWait = 5 * time.Second

// AutoCreateTopic asks for a missing topic in the way that makes a broker with auto.create.topics.enable create it.
// ErrTopicMissing when it does not appear; other errors as those of [Producer.Topic].
func (p *Producer) AutoCreateTopic(ctx context.Context, name string) (Topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(name)
	req.Topics = append(req.Topics, t)
	if _, err := request[*kmsg.MetadataResponse](ctx, p.client, req); err != nil {
		return Topic{}, fmt.Errorf("asking the brokers to create topic %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, autoCreateWait)
	defer cancel()
	var topic Topic
	var missing error
	err := p.client.again(ctx, func() (bool, error) {
		var err error
		if topic, err = p.client.topic(ctx, name); errors.Is(err, ErrTopicMissing) {
			missing = err
		}
		return errors.Is(err, ErrTopicMissing), err
	})
	if err != nil && missing != nil && ctx.Err() != nil {
		return Topic{}, missing
	}
	return topic, err
}
