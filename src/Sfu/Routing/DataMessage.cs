namespace Transcribe.Sfu.Routing;

/// <summary>How a data channel message travels on: the kind of its channel and of itself.</summary>
internal readonly record struct DataMessage(
    string Label, bool IsText, bool Ordered, int? MaxRetransmits, TimeSpan? MaxPacketLifetime, string Protocol);
