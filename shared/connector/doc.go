// Package connector reads Kafka Connect's connector files and says what each key of them means here.
//
// [Parse] reads a file, strict or as people paste it. Every key that castorm's HTTP source, Confluent's GCS sink or
// Kafka Connect itself knows stands in a table with what becomes of it: honoured, ignored (it has no meaning here),
// refused (it would change results and is not built), or honoured with advice. [Connector.Explain] says so for each key
// of a file, without resolving a single reference; [Connector.Source] and [Connector.Sink] turn a file into typed
// settings, credentials resolved. Both report everything that is wrong at once.
//
// Settings that Connect takes from its worker come from the environment names of Confluent's Connect images
// ([Worker]). A value is looked for in this order: an override ([Connector.With]), the connector's own key
// (producer.override.* or consumer.override.* for client properties), CONNECT_PRODUCER_* or CONNECT_CONSUMER_*,
// CONNECT_*.
package connector
