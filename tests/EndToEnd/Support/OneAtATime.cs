// Browsers, speech decoders and servers share two cores: together they would measure each other.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
