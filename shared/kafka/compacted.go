package kafka

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Compacted says whether a topic's cleanup.policy has brokers remove records from the middle of the log. ErrAuthorization
// without DESCRIBE_CONFIGS on the topic.
func (c *Consumer) Compacted(ctx context.Context, topic string) (bool, error) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{"cleanup.policy"}
	req.Resources = append(req.Resources, r)
	compacted := false
	err := c.client.again(ctx, func() (bool, error) {
		resp, err := request[*kmsg.DescribeConfigsResponse](ctx, c.client, req)
		if err != nil {
			return notYet(err), err
		}
		for _, r := range resp.Resources {
			if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
				return kerr.IsRetriable(err), classify(err)
			}
			for _, one := range r.Configs {
				if one.Name == "cleanup.policy" && one.Value != nil {
					compacted = strings.Contains(*one.Value, "compact")
				}
			}
		}
		return false, nil
	})
	if err != nil {
		return false, fmt.Errorf("reading cleanup.policy of topic %s: %w", topic, err)
	}
	return compacted, nil
}
