"""What the side panel asks for: the routes, what guards them, and what they tell of a job."""
