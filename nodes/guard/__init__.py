"""What nobody vouches for: addresses, the connections to them, downloads and uploads, and names of files."""
