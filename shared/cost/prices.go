// Package cost is a month of riftline on Google Cloud on paper: list prices, what a source and a sink use of what is
// priced, and the sum. It is arithmetic on stated inputs, no promise; the broker, the schema registry, storage of logs
// and traffic are outside of it.
package cost

// Item is one thing that has a price.
type Item int

// The items.
const (
	ServiceCPU Item = iota
	ServiceMemory
	ServiceRequests
	JobCPU
	JobMemory
	Schedules
	SecretVersions
	SecretReads
	PubSub
	Storage
	ClassA
	ClassB
	items
)

// Price is a list price: dollars for so many units, and how many units of each month are free.
type Price struct {
	What string
	// Unit is what is counted, Dollars what Per of it cost.
	Unit    string
	Dollars float64
	Per     float64
	Free    float64
	// Source says where the price was read. Unread marks what of it is general knowledge and was not read again.
	Source string
	Unread string
}

// Region and Read say what the prices are of.
const (
	Region = "us-central1 (Tier 1), USD"
	Read   = "between 2025 and 2026-09, in stored copies of the named pages"
)

// Prices are the list prices by item.
var Prices = [items]Price{
	ServiceCPU:      {"Cloud Run service, request-based: CPU", "vCPU-second", 0.000024, 1, 180_000, "cloud.google.com/run/pricing", ""},
	ServiceMemory:   {"Cloud Run service, request-based: memory", "GiB-second", 0.0000025, 1, 360_000, "cloud.google.com/run/pricing", ""},
	ServiceRequests: {"Cloud Run service: requests", "request", 0.40, 1_000_000, 2_000_000, "cloud.google.com/run/pricing", ""},
	JobCPU:          {"Cloud Run job: CPU", "vCPU-second", 0.000018, 1, 240_000, "cloud.google.com/run/pricing", "what is free; that a task counts as one minute at least"},
	JobMemory:       {"Cloud Run job: memory", "GiB-second", 0.000002, 1, 450_000, "cloud.google.com/run/pricing", "what is free; that a task counts as one minute at least"},
	Schedules:       {"Cloud Scheduler", "job", 0.10, 1, 3, "cloud.google.com/scheduler/pricing", "price and what is free"},
	SecretVersions:  {"Secret Manager: versions", "version", 0.06, 1, 6, "cloud.google.com/secret-manager/pricing", ""},
	SecretReads:     {"Secret Manager: reads", "read", 0.03, 10_000, 10_000, "cloud.google.com/secret-manager/pricing", ""},
	PubSub:          {"Pub/Sub", "GiB", 40, 1024, 10, "cloud.google.com/pubsub/pricing, in a third party's copy of 2026-09", "that a message counts as 1 KB at least"},
	Storage:         {"Cloud Storage, Standard", "GB", 0.020, 1, 5, "cloud.google.com/storage/pricing-examples", "what is free"},
	ClassA:          {"Cloud Storage: writes and lists (class A)", "request", 0.005, 1000, 5_000, "cloud.google.com/storage/pricing-examples", "what is free"},
	ClassB:          {"Cloud Storage: reads (class B)", "request", 0.0004, 1000, 50_000, "cloud.google.com/storage/pricing-examples", "what is free"},
}

// What an always-on Kafka Connect cluster is compared by.
const (
	// ManagedDCUHour is the price of an hour of a DCU of Google's Managed Service for Apache Kafka. Its pricing page gives
	// it for Kafka clusters; whether one of a Connect cluster costs the same was not found.
	ManagedDCUHour = 0.09
	// ManagedCPUs and ManagedGiB are the least that a Connect cluster of that service may have; a vCPU is 0.6 DCU, a GiB
	// 0.1.
	ManagedCPUs = 3
	ManagedGiB  = 3
	// WorkerCPUs and WorkerGiB are a single Connect worker of one's own that is always on, priced as Cloud Run prices
	// instances that are (the prices of its jobs). What a virtual machine of that size costs was not read.
	WorkerCPUs = 1
	WorkerGiB  = 2
)
