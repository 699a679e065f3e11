"""The world's update server: hawkBit's DDI subset, a TUF repository, and who should get what."""
